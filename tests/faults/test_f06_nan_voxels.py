import numpy as np
import pytest
from fault_files import ENDINGS, VOXELS, error_of, write_volume

from dd_nnunet.storage.volume import read_volume


@pytest.mark.parametrize("ending", ENDINGS)
def test_nan_voxels_are_counted(tmp_path, ending):
    array = VOXELS.astype(np.float32)
    array[0, 0, :3] = np.nan
    path = write_volume(tmp_path / f"case_0000{ending}", array)
    error = error_of(read_volume, [path])
    assert error.where == str(path)
    assert error.reason == "3 of 120 voxels are not finite (3 NaN, 0 infinite)"


@pytest.mark.parametrize("number_type", ["<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_every_kind_of_float_in_nifti(tmp_path, ending, number_type):
    nibabel = pytest.importorskip("nibabel")
    array = VOXELS.astype(number_type)
    array[-1, -1, -1] = np.nan
    header = nibabel.Nifti1Header(endianness=number_type[0])
    header.set_data_dtype(number_type)
    path = tmp_path / f"case_0000{ending}"
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4), header), path)
    assert error_of(read_volume, [path]).reason == "1 of 120 voxels are not finite (1 NaN, 0 infinite)"


def test_more_voxels_than_one_piece(tmp_path):
    array = np.zeros((70, 70, 70), np.float32)
    array[0, 0, 0] = array[35, 0, 1] = array[-1, -1, -1] = np.nan
    path = write_volume(tmp_path / "case_0000.nii.gz", array)
    assert error_of(read_volume, [path]).reason == "3 of 343000 voxels are not finite (3 NaN, 0 infinite)"
