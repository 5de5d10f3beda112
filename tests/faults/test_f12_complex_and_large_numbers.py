"""F12: complex numbers are refused; whole numbers that float32 rounds are warned of."""

import numpy as np
import pytest
import SimpleITK
from fault_files import VOXELS, error_of, write_voxels
from planned import make_faulty
from small_volumes import cell

from dd_nnunet.storage.integrity import check_integrity
from dd_nnunet.storage.volume import read_volume


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
def test_complex_numbers_are_refused(tmp_path, ending):
    path = tmp_path / f"case_0000{ending}"
    image = SimpleITK.Cast(SimpleITK.GetImageFromArray(VOXELS), SimpleITK.sitkComplexFloat32)
    SimpleITK.WriteImage(image, str(path))
    error = error_of(check_integrity, path)
    assert (error.where, error.reason) == (str(path), "holds complex numbers")


def test_whole_numbers_beyond_float32_are_warned_of(tmp_path):
    array = VOXELS.astype(np.int32)
    array[0, 0, 0] = 2**24 + 1
    path = write_voxels(tmp_path / "case_0000.nii.gz", array)
    assert read_volume([path]).warnings == (f"{path}: int32 values up to 16777217 are rounded to float32",)


def test_whole_numbers_within_float32_are_not(tmp_path):
    array = VOXELS.astype(np.int32)
    array[0, 0, 0] = -(2**24)
    volume = read_volume([write_voxels(tmp_path / "case_0000.nii.gz", array)])
    assert volume.warnings == ()
    assert volume.array[0, 0, 0, 0] == -(2**24)


@pytest.mark.parametrize(
    ("number_type", "ending"), [(np.uint64, ".nrrd"), (np.uint64, ".mha"), (np.uint32, ".nii")]
)
def test_whole_numbers_of_any_type_are_warned_of_and_the_report_is_told(tmp_path, number_type, ending):
    dataset = make_faulty(tmp_path, {}, description={"file_ending": ending, "numTraining": 1})
    array = cell(0).astype(np.int64).clip(0).astype(number_type)
    array[0, 0, 0] = 2**24 + 1
    path = write_voxels(dataset.raw / "imagesTr" / f"a_0000{ending}", array)
    assert dataset.run("--no_pp") == 0
    warning = f"{path}: {np.dtype(number_type)} values up to 16777217 are rounded to float32"
    assert warning in dataset.json("dataset_fingerprint.json")["warnings"]
