"""F15: channels over 1 % of a voxel apart are an error, or with --allow_geometry_mismatch a warning."""

import math

import numpy as np
import pytest
from fault_files import VOXELS, error_of, geometry, write_voxels
from planned import make_faulty
from small_volumes import cell

from dd_nnunet.core.plan import ReadingPlan
from dd_nnunet.storage.volume import read_volume


def two_channels(folder, **changes):
    return [write_voxels(folder / "case_0000.nrrd"), write_voxels(folder / "case_0001.nrrd", **changes)]


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


def test_the_flag_makes_it_a_warning(tmp_path):
    files = two_channels(tmp_path, origin_xyz_mm=(10.0, 20.5, 30.0))
    assert error_of(read_volume, files).remedy == "resample it onto the grid of the other"
    volume = read_volume(files, ReadingPlan(allow_geometry_mismatch=True))
    words = "lies up to 0.5 voxels away from case_0000.nrrd (origin or direction), and is taken as if it lay there"
    assert volume.warnings == (f"{files[1]}: {words}",)
    np.testing.assert_array_equal(volume.array, [VOXELS, VOXELS])
    assert volume.geometry == geometry()


@pytest.mark.parametrize("changes", [{"spacing_xyz_mm": (1.0, 2.0, 3.1)}, {"array": VOXELS[1:]}])
def test_the_flag_is_not_for_spacing_and_size(tmp_path, changes):
    files = two_channels(tmp_path, **changes)
    error_of(read_volume, files, ReadingPlan(allow_geometry_mismatch=True))


def test_the_flag_is_kept_in_the_plan_and_the_warning_is_told(tmp_path, capsys):
    described = {"channel_names": {"0": "light", "1": "dark"}, "numTraining": 1}
    dataset = make_faulty(tmp_path, {}, description=described)
    images = dataset.raw / "imagesTr"
    lies = {"spacing_xyz_mm": (1.0, 1.0, 1.0), "origin_xyz_mm": (0.0, 0.0, 0.0)}
    write_voxels(images / "a_0000.nii.gz", cell(0), **lies)
    write_voxels(images / "a_0001.nii.gz", cell(1), **{**lies, "origin_xyz_mm": (0.0, 0.0, 3.0)})
    assert dataset.run() == 2
    assert "the other, or plan with --allow_geometry_mismatch" in capsys.readouterr().err
    assert dataset.written == []
    assert dataset.run("--allow_geometry_mismatch") == 0
    plan = dataset.json("ddPlans.json")
    assert plan["configurations"]["3d_fullres"]["reading"]["allow_geometry_mismatch"] is True
    assert "channels elsewhere" in [decision["name"] for decision in plan["decisions"]]
    (warning,) = dataset.json("dataset_fingerprint.json")["warnings"]
    assert "a_0001.nii.gz: lies up to 3 voxels away from a_0000.nii.gz" in warning
    assert f"warning: {warning}" in capsys.readouterr().out
    assert dataset.prepared_cases == ["a"]
