"""F24: a file without channel number is an error that shows the expected pattern."""

import pytest
from fault_files import description, error_of, touch

from dd_nnunet.storage.raw_dataset import find_cases


@pytest.mark.parametrize("name", ["patient.nii.gz", "patient_0.nii.gz", "patient0000.nii.gz", "_0000.nii.gz"])
def test_the_file_and_the_pattern_are_named(tmp_path, name):
    touch(tmp_path, "a_0000.nii.gz", name)
    error = error_of(find_cases, tmp_path, description())
    assert error.where == str(tmp_path / name)
    assert error.reason == "has no channel number"
    assert error.remedy == "expected a name like CASE_0000.nii.gz"


def test_a_folder_without_cases(tmp_path):
    error = error_of(find_cases, tmp_path, description())
    assert (error.where, error.reason) == (str(tmp_path), "holds no case")
    assert "CASE_0000.nii.gz" in error.remedy


def test_a_missing_folder(tmp_path):
    assert error_of(find_cases, tmp_path / "imagesTr", description()).reason == "does not exist"
