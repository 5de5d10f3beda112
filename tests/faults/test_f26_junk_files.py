import logging

from fault_files import description, touch

from dd_nnunet.storage.raw_dataset import find_cases

JUNK = ("._a_0000.nii.gz", ".DS_Store", "Thumbs.db", "notes.txt")


def test_junk_is_left_out_with_a_warning(tmp_path, caplog):
    touch(tmp_path, "a_0000.nii.gz", *JUNK)
    with caplog.at_level(logging.WARNING):
        cases = find_cases(tmp_path, description())
    assert [case.case_id for case in cases] == ["a"]
    assert sorted(caplog.messages) == sorted(
        f"{tmp_path / name}: is no volume and is left out" for name in JUNK
    )
