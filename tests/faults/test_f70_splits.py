"""F70: splits that name unknown cases, or train and validate on the same ones, are refused, and all are named."""

import pytest
from small_dataset import CASES, make_trainable

from dd_nnunet.commands import train
from dd_nnunet.storage.atomic import write_json

FIRST, SECOND, *OTHERS = CASES


@pytest.fixture
def trainable(tmp_path, monkeypatch):
    return make_trainable(tmp_path, monkeypatch)


def train_fold_0(trainable, folds, capsys):
    write_json(trainable.folders.splits_json, folds)
    arguments = ["7", "3d_fullres", "0", "-device", "cpu", *trainable.flags]
    assert train.main(arguments) == 2
    assert not trainable.model.exists()
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_cases_that_are_not_prepared_are_all_named(trainable, capsys):
    line = train_fold_0(trainable, [{"train": [FIRST, "ghost", "phantom"], "val": [SECOND]}], capsys)
    assert "fold 0 names cases that are not prepared: ghost, phantom" in line
    assert line.endswith("run: dd_plan_and_preprocess -d 7 --preset fast, or correct the splits")


def test_a_case_that_trains_and_validates_is_a_leak(trainable, capsys):
    line = train_fold_0(trainable, [{"train": [FIRST, SECOND], "val": [SECOND]}], capsys)
    assert f"fold 0 both trains and validates on {SECOND}; make the two lists disjoint" in line


def test_a_leak_in_another_fold_counts_too(trainable, capsys):
    folds = [{"train": [FIRST], "val": [SECOND]}, {"train": [FIRST, SECOND], "val": [FIRST]}]
    assert f"fold 1 both trains and validates on {FIRST}" in train_fold_0(trainable, folds, capsys)


@pytest.mark.parametrize("fold", [{"train": [FIRST]}, {"train": FIRST, "val": []}, [FIRST]])
def test_entries_of_another_kind_are_refused(trainable, fold, capsys):
    assert "splits_final.json" in train_fold_0(trainable, [fold], capsys)
