"""F02: a truncated .nii is an error with the bytes expected and found."""

import pytest
from fault_files import VOXELS, error_of, write_voxels

from dd_nnunet.storage.volume import read_volume

EXPECTED_BYTES = 352 + 2 * VOXELS.size


@pytest.mark.parametrize("n_found", [352, 400, EXPECTED_BYTES - 1])
def test_missing_voxels_are_counted(tmp_path, n_found):
    path = write_voxels(tmp_path / "case_0000.nii")
    path.write_bytes(path.read_bytes()[:n_found])
    error = error_of(read_volume, [path])
    assert error.where == str(path)
    assert error.reason == f"is cut off ({EXPECTED_BYTES} bytes expected, {n_found} found)"


@pytest.mark.parametrize("n_found", [1, 100, 347])
def test_half_a_header_is_no_nifti(tmp_path, n_found):
    path = write_voxels(tmp_path / "case_0000.nii")
    path.write_bytes(path.read_bytes()[:n_found])
    assert "is no NIfTI file" in error_of(read_volume, [path]).reason
