import logging

import pytest

from dd_nnunet.core.dataset import CaseFiles, DatasetDescription
from dd_nnunet.core.errors import ManyErrors, UserError
from dd_nnunet.storage.raw_dataset import find_cases, load_description
from dd_nnunet.storage.workspace import DatasetFolders


def touch(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"")


def describe(*channels, ending=".nii.gz"):
    return DatasetDescription(channels, ending, {}, (), ())


def test_cases_are_sorted_and_channels_in_order(tmp_path):
    touch(tmp_path, "b_0001.nii.gz", "b_0000.nii.gz", "a_1_0001.nii.gz", "a_1_0000.nii.gz")
    assert find_cases(tmp_path, describe("T1", "T2")) == (
        CaseFiles("a_1", (tmp_path / "a_1_0000.nii.gz", tmp_path / "a_1_0001.nii.gz")),
        CaseFiles("b", (tmp_path / "b_0000.nii.gz", tmp_path / "b_0001.nii.gz")),
    )


def test_an_id_may_hold_dots_and_end_in_digits(tmp_path):
    touch(tmp_path, "s1.2_0007_0000.nii.gz")
    assert [case.case_id for case in find_cases(tmp_path, describe("T1"))] == ["s1.2_0007"]


def test_files_that_belong_to_volumes_are_no_strangers(tmp_path, caplog):
    touch(tmp_path, "a_0000.mhd", "a_0000.zraw", "b_0000.mhd", "b_0000.raw")
    with caplog.at_level(logging.WARNING):
        assert len(find_cases(tmp_path, describe("T1", ending=".mhd"))) == 2
    assert caplog.messages == []


def test_an_id_that_is_no_plain_name(tmp_path):
    touch(tmp_path, "a b_0000.nii.gz")
    with pytest.raises(UserError, match="case id 'a b' is not allowed"):
        find_cases(tmp_path, describe("T1"))


def test_all_errors_are_collected(tmp_path):
    touch(tmp_path, "a_0000.nii.gz", "b.nii.gz", "c d_0000.nii.gz", "e_0003.nii.gz")
    with pytest.raises(ManyErrors) as caught:
        find_cases(tmp_path, describe("T1", "T2"))
    assert [error.where for error in caught.value.errors] == [
        str(tmp_path / name) for name in ("b.nii.gz", "c d_0000.nii.gz", "e_0003.nii.gz", "a_0001.nii.gz")
    ]


def test_the_description_is_found_by_file_folder_or_dataset(tmp_path):
    text = '{"channel_names": {"0": "T1", "1": "T2"}, "numTraining": 3, "file_ending": ".mha"}'
    (tmp_path / "dataset.json").write_text(text, encoding="utf-8")
    expected = DatasetDescription(("T1", "T2"), ".mha", {}, (), (), 3)
    dataset = DatasetFolders("Dataset001_A", None, tmp_path, tmp_path / "results")
    for source in (tmp_path, tmp_path / "dataset.json", dataset):
        assert load_description(source) == expected
