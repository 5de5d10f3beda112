import math

from fault_files import error_of, write_volume

from dd_nnunet.storage.volume import read_volume


def two_channels(folder, **changes):
    return [write_volume(folder / "case_0000.nrrd"), write_volume(folder / "case_0001.nrrd", **changes)]


def turned(angle):
    c, s = math.cos(angle), math.sin(angle)
    return (c, -s, 0.0, s, c, 0.0, 0.0, 0.0, 1.0)


def test_another_origin_is_refused(tmp_path):
    files = two_channels(tmp_path, origin_xyz_mm=(10.0, 20.5, 30.0))
    error = error_of(read_volume, files)
    assert error.where == str(files[1])
    assert error.reason == "lies up to 0.5 voxels away from case_0000.nrrd (origin or direction)"


def test_an_origin_off_by_less_than_a_hundredth_of_a_voxel_is_warned_of(tmp_path):
    files = two_channels(tmp_path, origin_xyz_mm=(10.005, 20.0, 30.0))
    assert read_volume(files).warnings == (f"{files[1]}: lies up to 0.005 voxels away from case_0000.nrrd",)


def test_another_direction_is_refused(tmp_path):
    # the far corner is sqrt(5² + 8²) mm from the axis and moves by that times the angle
    error = error_of(read_volume, two_channels(tmp_path, direction=turned(0.01)))
    assert f"up to {math.hypot(5, 8) * 0.01:.3g} voxels away" in error.reason


def test_rounding_is_not_warned_of(tmp_path):
    assert read_volume(two_channels(tmp_path, origin_xyz_mm=(10.00001, 20.0, 30.0))).warnings == ()
