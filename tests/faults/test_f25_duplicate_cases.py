"""F25: a case that stands twice, by another ending or by upper and lower case, is an error."""

from fault_files import description, error_of, touch

from dd_nnunet.storage.raw_dataset import find_cases


def test_a_case_with_two_endings(tmp_path):
    touch(tmp_path, "x_0000.nii.gz", "x_0000.nrrd")
    error = error_of(find_cases, tmp_path, description())
    assert error.where == str(tmp_path / "x_0000.nrrd")
    assert error.reason == "stands twice, also as x_0000.nii.gz"


def test_cases_that_differ_in_upper_and_lower_case_only(tmp_path):
    touch(tmp_path, "Case_0000.nii.gz", "case_0000.nii.gz")
    error = error_of(find_cases, tmp_path, description())
    assert (error.where, error.reason) == (str(tmp_path), "cases Case and case differ in case only")


def test_a_volume_of_another_ending(tmp_path):
    touch(tmp_path, "x_0000.nii.gz", "y_0000.nii")
    error = error_of(find_cases, tmp_path, description())
    assert error.where == str(tmp_path / "y_0000.nii")
    assert error.reason == "has not the file_ending of dataset.json, .nii.gz"
    assert error.remedy == f"remove it, or convert all: dd_convert_folder -i {tmp_path} -d ID -n NAME"
