import pytest

from dd_nnunet.core.errors import UserError
from dd_nnunet.core.splits import Fold, make_folds
from dd_nnunet.storage.atomic import write_json
from dd_nnunet.storage.splits import read_given_splits, read_splits


def test_folds_come_back_as_written(tmp_path):
    folds = make_folds(("a", "b", "c"))
    write_json(tmp_path / "splits_final.json", folds)
    assert read_splits(tmp_path / "splits_final.json") == folds


def test_nnunets_layout(tmp_path):
    write_json(tmp_path / "splits_final.json", [{"train": ["a", "b"], "val": ["c"]}])
    assert read_splits(tmp_path / "splits_final.json") == (Fold(("a", "b"), ("c",)),)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([{"train": ["a", "b"], "val": ["b"]}], "fold 0 both trains and validates on b"),
        ([{"train": ["a"]}], "lacks the key 'val'"),
        ({"0": {}}, "expected a list"),
    ],
)
def test_wrong_folds_are_refused(tmp_path, data, message):
    write_json(tmp_path / "splits_final.json", data)
    with pytest.raises(UserError, match=message):
        read_splits(tmp_path / "splits_final.json")


def test_missing_splits_are_refused(tmp_path):
    with pytest.raises(UserError):
        read_splits(tmp_path / "splits_final.json")


def test_folds_of_a_raw_dataset(tmp_path):
    assert read_given_splits(None, ("a", "b")) == ()
    assert read_given_splits(tmp_path, ("a", "b")) == ()
    write_json(tmp_path / "splits_final.json", [{"train": ["a"], "val": ["b"]}])
    assert read_given_splits(tmp_path, ("b", "a")) == (Fold(("a",), ("b",)),)


def test_folds_of_another_raw_dataset(tmp_path):
    write_json(tmp_path / "splits_final.json", [{"train": ["a"], "val": ["b"]}])
    for case_ids in (("a",), ("a", "b", "c")):
        with pytest.raises(UserError, match="does not name the cases of imagesTr"):
            read_given_splits(tmp_path, case_ids)
