"""F11: vector and colour volumes are refused with their number of components."""

import numpy as np
import pytest
import SimpleITK
from fault_files import error_of

from dd_nnunet.storage.integrity import check_integrity
from dd_nnunet.storage.volume import read_volume


def write_vectors(path, number_type):
    array = np.arange(4 * 5 * 6 * 3).reshape(4, 5, 6, 3).astype(number_type)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array, isVector=True), str(path))
    return path


@pytest.mark.parametrize("number_type", [np.uint8, np.float32])
@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha", ".tif"])
def test_three_components_are_refused(tmp_path, ending, number_type):
    path = write_vectors(tmp_path / f"case_0000{ending}", number_type)
    for check in (check_integrity, lambda file: read_volume([file])):
        error = error_of(check, path)
        assert error.where == str(path)
        assert error.reason == "has 3 components per voxel (vector or colour), 1 is expected"
