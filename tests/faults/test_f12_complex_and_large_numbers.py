import numpy as np
import pytest
import SimpleITK
from fault_files import VOXELS, error_of, write_volume

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
    path = write_volume(tmp_path / "case_0000.nii.gz", array)
    assert read_volume([path]).warnings == (f"{path}: int32 values up to 16777217 are rounded to float32",)


def test_whole_numbers_within_float32_are_not(tmp_path):
    array = VOXELS.astype(np.int32)
    array[0, 0, 0] = -(2**24)
    volume = read_volume([write_volume(tmp_path / "case_0000.nii.gz", array)])
    assert volume.warnings == ()
    assert volume.array[0, 0, 0, 0] == -(2**24)
