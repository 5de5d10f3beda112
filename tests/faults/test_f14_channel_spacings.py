"""F14: channels whose spacings differ by over a thousandth are an error, below that a warning."""

from fault_files import error_of, write_voxels

from dd_nnunet.storage.volume import read_volume


def two_channels(folder, z_spacing_mm):
    return [
        write_voxels(folder / "case_0000.nrrd"),
        write_voxels(folder / "case_0001.nrrd", spacing_xyz_mm=(1.0, 2.0, z_spacing_mm)),
    ]


def test_beyond_a_thousandth_is_refused(tmp_path):
    files = two_channels(tmp_path, 3.0 * 1.002)
    error = error_of(read_volume, files)
    assert error.where == str(files[1])
    assert error.reason == "has the spacing 1×2×3.006 mm, case_0000.nrrd has 1×2×3 mm"


def test_below_is_warned_of(tmp_path):
    files = two_channels(tmp_path, 3.0 * 1.0005)
    volume = read_volume(files)
    assert volume.geometry.spacing_zyx_mm == (3.0, 2.0, 1.0)
    assert volume.warnings == (f"{files[1]}: its spacing differs by 0.0005 from that of case_0000.nrrd",)


def test_rounding_is_not(tmp_path):
    assert read_volume(two_channels(tmp_path, 3.0000001)).warnings == ()
