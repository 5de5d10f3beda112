"""F23: every hole of the case by channel matrix is listed."""

from fault_files import description, error_of, touch

from dd_nnunet.storage.raw_dataset import find_cases


def test_every_hole_of_the_case_by_channel_matrix_is_listed(tmp_path):
    touch(tmp_path, "a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii.gz", "c_0001.nii.gz")
    lines = error_of(find_cases, tmp_path, description(("T1", "FLAIR"))).lines
    remedy = "add the file or remove the case"
    assert lines == (
        f"{tmp_path}/b_0001.nii.gz: is missing: case b lacks channel 1 (FLAIR); {remedy}",
        f"{tmp_path}/c_0000.nii.gz: is missing: case c lacks channel 0 (T1); {remedy}",
    )


def test_a_channel_that_dataset_json_does_not_name(tmp_path):
    touch(tmp_path, "a_0000.nii.gz", "a_0001.nii.gz")
    error = error_of(find_cases, tmp_path, description(("T1",)))
    assert error.where == f"{tmp_path}/a_0001.nii.gz"
    assert error.reason == "is channel 1, but dataset.json names 1 channel"
