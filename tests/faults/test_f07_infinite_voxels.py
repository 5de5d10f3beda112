"""F07: infinite voxels are an error with their count, and --nan holds for them too."""

import numpy as np
import pytest
from fault_files import ENDINGS, VOXELS, error_of, write_voxels

from dd_nnunet.core.plan import ReadingPlan
from dd_nnunet.storage.volume import read_volume


@pytest.mark.parametrize("ending", ENDINGS)
def test_infinite_voxels_of_both_signs_are_counted(tmp_path, ending):
    array = VOXELS.astype(np.float32)
    array[1, 2, 3], array[2, 2, 3], array[3, 0, 0] = np.inf, -np.inf, np.nan
    path = write_voxels(tmp_path / f"case_0000{ending}", array)
    error = error_of(read_volume, [path])
    assert (error.where, error.reason) == (str(path), "3 of 120 voxels are not finite (1 NaN, 2 infinite)")


def test_doubles_beyond_float32_are_found(tmp_path):
    array = VOXELS.astype(np.float64)
    array[0, 0, 0] = 1e300
    path = write_voxels(tmp_path / "case_0000.nii.gz", array)
    assert error_of(read_volume, [path]).reason == "1 of 120 voxels are not finite (0 NaN, 1 infinite)"


@pytest.mark.parametrize(("nan", "value"), [("zero", 0.0), ("median", 2.0)])
@pytest.mark.parametrize("ending", [".nii.gz", ".mha"])
def test_with_the_flag_they_become_a_number(tmp_path, ending, nan, value):
    array = np.full((2, 2, 2), 2.0, np.float64)
    # the last one is finite as a double and not as a float32
    array[0, 0], array[1, 1, 1] = (np.inf, -np.inf), 1e300
    volume = read_volume([write_voxels(tmp_path / f"case_0000{ending}", array)], ReadingPlan(nan=nan))
    expected = np.full((2, 2, 2), 2.0, np.float32)
    expected[0, 0], expected[1, 1, 1] = value, value
    np.testing.assert_array_equal(volume.array[0], expected)
