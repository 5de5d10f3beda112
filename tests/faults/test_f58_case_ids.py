"""F58: a case id that is no plain name is refused, in file names or dataset.json; letters of any script are fine."""

import json
import os

import pytest
from fault_files import VOXELS, description, error_of, geometry, touch
from planned import make_faulty
from small_volumes import cell

from dd_nnunet.core.case import CaseProperties, PreparedCase
from dd_nnunet.core.dataset import check_case_id, describe_dataset
from dd_nnunet.storage.case_store import write_case
from dd_nnunet.storage.raw_dataset import find_cases

HOSTILE = (
    "..", ".", "", "../evil", "a/b", "/etc/passwd", "a\\b", "a\0b", "a b", "a\nb", "~", "a:b", "$HOME", "x" * 201,
)  # fmt: skip
PLAIN = ("cell", "患者_7", "Fälle", "пациент", "s1.2_0007", "a..b", "-x", "a+b", "x" * 200)


@pytest.mark.parametrize("case_id", HOSTILE)
def test_hostile_ids_are_refused_and_shown(case_id):
    error = error_of(check_case_id, case_id, "imagesTr")
    assert error.reason == f"case id {case_id!r} is not allowed"
    # what is shown is one line without control characters
    assert error.line.isprintable()


@pytest.mark.parametrize("case_id", PLAIN)
def test_plain_ids_are_taken(case_id):
    assert check_case_id(case_id, "imagesTr") == case_id


def test_ids_of_dataset_json_are_checked_all_at_once():
    listed = {"../../evil": {"images": ["x.nii.gz"]}, "fine": {}, "a\0b": {}}
    data = {"channel_names": {"0": "x"}, "file_ending": ".nii.gz", "dataset": listed}
    first, second = error_of(describe_dataset, data, "dataset.json").lines
    assert first.startswith("dataset.json: $.dataset: case id '../../evil' is not allowed")
    assert "'a\\x00b'" in second
    data["dataset"] = {"患者": {}}
    assert describe_dataset(data, "dataset.json").n_channels == 1


def test_nothing_is_written_outside_because_of_dataset_json(tmp_path, capsys):
    dataset = make_faulty(tmp_path, {"a": cell(0)}, description={"dataset": {"../../../evil": {}}})
    before = sorted(tmp_path.rglob("*"))
    assert dataset.run() == 2
    assert "case id '../../../evil' is not allowed" in capsys.readouterr().err
    new = {path for path in tmp_path.rglob("*") if path.is_file()} - set(before)
    assert new == {dataset.preprocessed / ".lock"}


@pytest.mark.parametrize("name", ["a b", "a\nb", "a;rm -rf", "a\\b", "<script>", "=cmd"])
def test_file_names_are_checked(tmp_path, name):
    touch(tmp_path, "sound_0000.nii.gz", f"{name}_0000.nii.gz")
    error = error_of(find_cases, tmp_path, description())
    assert error.reason == f"case id {name!r} is not allowed"


def test_a_name_that_is_no_text_is_refused(tmp_path):
    touch(tmp_path, os.fsdecode(b"a\xff_0000.nii.gz"))
    assert "is not allowed" in error_of(find_cases, tmp_path, description()).reason


def test_unicode_names_are_prepared(tmp_path):
    dataset = make_faulty(tmp_path, {"患者_7": cell(0), "Fälle": cell(1)})
    assert dataset.run() == 0
    assert dataset.prepared_cases == ["Fälle", "患者_7"]
    assert json.loads((dataset.preprocessed / "splits_final.json").read_text(encoding="utf-8"))


def test_the_store_checks_again(tmp_path):
    properties = CaseProperties(
        "../evil", geometry(), (0, 0, 0), (4, 5, 6), (4, 5, 6), (3.0, 2.0, 1.0), ((0.0, 1.0),), ()
    )
    error_of(write_case, tmp_path / "inside", PreparedCase(VOXELS[None].astype("float32"), properties))
    assert list(tmp_path.rglob("*")) == []
