"""F13: channels of different sizes are an error that names both files."""

from fault_files import VOXELS, error_of, write_voxels

from dd_nnunet.storage.volume import read_volume


def test_both_files_and_both_sizes_are_named(tmp_path):
    first = write_voxels(tmp_path / "case_0000.nii.gz")
    second = write_voxels(tmp_path / "case_0001.nii.gz", VOXELS[:, :, :5])
    error = error_of(read_volume, [first, second])
    assert error.where == str(second)
    assert error.reason == "has the size (5, 5, 4), case_0000.nii.gz has (6, 5, 4)"
