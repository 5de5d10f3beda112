"""F26: hidden files and junk are ignored with a warning that reaches the report."""

import logging

from fault_files import description, touch
from planned import make_faulty
from small_volumes import cells

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


def test_the_warning_is_told_once_and_reaches_the_report(tmp_path, capsys):
    dataset = make_faulty(tmp_path, cells(5))
    touch(dataset.raw / "imagesTr", *JUNK)
    assert dataset.run() == 0
    shown = capsys.readouterr().out
    stored = dataset.json("dataset_fingerprint.json")["warnings"]
    for name in JUNK:
        warning = f"{dataset.raw / 'imagesTr' / name}: is no volume and is left out"
        assert shown.count(warning) == 1
        assert warning in stored
    assert dataset.prepared_cases == sorted(cells(5))
