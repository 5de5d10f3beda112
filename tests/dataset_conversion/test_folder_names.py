"""Which files make up which case."""

import logging

import pytest

from dataset_conversion.folder_names import find_labels, find_sources, plain_ids
from dd_nnunet.core.errors import ManyErrors, UserError


@pytest.fixture
def folder(tmp_path):
    def fill(*names):
        for name in names:
            (tmp_path / name).touch()
        return tmp_path

    return fill


@pytest.fixture(autouse=True)
def seen_by_caplog(monkeypatch):
    # a command that ran before keeps the records from the root logger
    monkeypatch.setattr(logging.getLogger("dd_nnunet"), "propagate", True)


def as_dict(cases):
    return {case.case_id: [file.name for file in case.files] for case in cases}


def test_one_file_per_case_with_mixed_endings(folder):
    cases = find_sources(folder("b.nrrd", "a.nii.gz", "c.MHA", "d.tif", "e.mrc"))
    assert as_dict(cases) == {
        "a": ["a.nii.gz"],
        "b": ["b.nrrd"],
        "c": ["c.MHA"],
        "d": ["d.tif"],
        "e": ["e.mrc"],
    }


def test_channels_where_every_name_has_a_number(folder):
    cases = find_sources(folder("a_0001.nii", "a_0000.nii.gz", "b_0000.nrrd", "b_0001.nrrd"))
    assert as_dict(cases) == {"a": ["a_0000.nii.gz", "a_0001.nii"], "b": ["b_0000.nrrd", "b_0001.nrrd"]}


def test_one_channel_with_numbers(folder):
    assert as_dict(find_sources(folder("a_0000.nii", "b_0000.nii"))) == {
        "a": ["a_0000.nii"],
        "b": ["b_0000.nii"],
    }


def test_numbers_that_are_no_channels(folder):
    # a name without number, and numbers that do not run from 0
    assert as_dict(find_sources(folder("a_0000.nii", "a_0001.nii", "b.nii"))) == {
        "a_0000": ["a_0000.nii"],
        "a_0001": ["a_0001.nii"],
        "b": ["b.nii"],
    }


def test_years_are_no_channels(folder):
    assert as_dict(find_sources(folder("scan_2021.nii", "scan_2022.nii"))) == {
        "scan_2021": ["scan_2021.nii"],
        "scan_2022": ["scan_2022.nii"],
    }


def test_every_file_a_case_on_demand(folder):
    cases = find_sources(folder("a_0000.nii", "a_0001.nii"), one_channel=True)
    assert as_dict(cases) == {"a_0000": ["a_0000.nii"], "a_0001": ["a_0001.nii"]}


def test_every_missing_channel_is_listed(folder):
    with pytest.raises(ManyErrors) as caught:
        find_sources(folder("a_0000.nii", "a_0001.nii", "b_0001.nii", "c_0000.nii"))
    assert [line.split(":")[0].split("/")[-1] for line in caught.value.lines] == ["b_0000", "c_0001"]


def test_a_name_with_two_endings(folder):
    with pytest.raises(UserError, match="a: stands twice"):
        find_sources(folder("a.nii", "a.nrrd", "b.nii"))


def test_strangers_are_left_out(folder, caplog):
    cases = find_sources(folder("a.mhd", "a.raw", "b.tif", "b.json", "._b.tif", ".DS_Store", "notes.txt"))
    assert as_dict(cases) == {"a": ["a.mhd"], "b": ["b.tif"]}
    assert {record.args[0].name for record in caplog.records} == {"._b.tif", ".DS_Store", "notes.txt"}


def test_nothing_to_convert(folder, tmp_path):
    with pytest.raises(UserError, match="is no folder"):
        find_sources(tmp_path / "missing")
    with pytest.raises(UserError, match=r"holds no volume; expected files ending in \.nii\.gz"):
        find_sources(folder("notes.txt"))
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "imagesTr/a.nii").touch()
    with pytest.raises(UserError, match=r"only its folders do \(imagesTr\)"):
        find_sources(tmp_path)


def test_plain_ids():
    assert plain_ids(["Fälle 1", "a/b?", "A_B_", "x.y-z+1", "fa\u0308lle 1"]) == {
        "Fälle 1": "Fälle_1",
        "a/b?": "a_b_",
        "A_B_": "A_B__2",
        "x.y-z+1": "x.y-z+1",
        "fa\u0308lle 1": "fälle_1_2",
    }
    (long_id,) = plain_ids(["ä" * 300]).values()
    assert long_id == "ä" * 90


def test_labels_are_found_by_name(folder, tmp_path, caplog):
    cases = find_sources(folder("a_0000.nii", "b_0000.nii", "c_0000.nii"))
    labels = tmp_path / "labels"
    labels.mkdir()
    for name in ("a.nrrd", "c.nii.gz", "z.nii"):
        (labels / name).touch()
    assert find_labels(labels, cases) == {"a": labels / "a.nrrd", "c": labels / "c.nii.gz"}
    assert "z.nii: belongs to no case" in caplog.text
    assert "b: has no label map" in caplog.text
    (labels / "a.nii").touch()
    with pytest.raises(UserError, match="stands twice"):
        find_labels(labels, cases)


def test_labels_of_another_folder(folder, tmp_path):
    cases = find_sources(folder("a.nii"))
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "z.nii").touch()
    with pytest.raises(UserError, match=r"no label map called like a case; expected e\.g\. a\.nii\.gz"):
        find_labels(labels, cases)
