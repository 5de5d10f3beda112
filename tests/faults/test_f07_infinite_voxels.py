import numpy as np
import pytest
from fault_files import ENDINGS, VOXELS, error_of, write_volume

from dd_nnunet.storage.volume import read_volume


@pytest.mark.parametrize("ending", ENDINGS)
def test_infinite_voxels_of_both_signs_are_counted(tmp_path, ending):
    array = VOXELS.astype(np.float32)
    array[1, 2, 3], array[2, 2, 3], array[3, 0, 0] = np.inf, -np.inf, np.nan
    path = write_volume(tmp_path / f"case_0000{ending}", array)
    error = error_of(read_volume, [path])
    assert (error.where, error.reason) == (str(path), "3 of 120 voxels are not finite (1 NaN, 2 infinite)")


def test_doubles_beyond_float32_are_found(tmp_path):
    array = VOXELS.astype(np.float64)
    array[0, 0, 0] = 1e300
    path = write_volume(tmp_path / "case_0000.nii.gz", array)
    assert error_of(read_volume, [path]).reason == "1 of 120 voxels are not finite (0 NaN, 1 infinite)"
