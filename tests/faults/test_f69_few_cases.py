"""F69: n cases give min(5, n) folds; one case gives fold all only."""

import pytest
from planned import make_faulty
from small_volumes import cells

from dd_nnunet.core.errors import UserError
from dd_nnunet.core.splits import make_folds, select_fold


@pytest.mark.parametrize("n_cases", [2, 3, 4])
def test_as_many_folds_as_cases(tmp_path, capsys, n_cases):
    dataset = make_faulty(tmp_path, cells(n_cases))
    assert dataset.run() == 0
    assert f"warning: {n_cases} cases give folds 0-{n_cases - 1} and all" in capsys.readouterr().out
    folds = dataset.json("splits_final.json")
    assert len(folds) == n_cases
    assert sorted(case for fold in folds for case in fold["val"]) == sorted(cells(n_cases))


def test_one_case_has_no_fold_but_all(tmp_path, capsys):
    dataset = make_faulty(tmp_path, cells(1))
    assert dataset.run() == 0
    assert "warning: 1 case gives fold all only" in capsys.readouterr().out
    assert dataset.json("splits_final.json") == []
    fold = select_fold(make_folds(["cell_0"]), "all", ["cell_0"], "x")
    assert fold.train == fold.val == ("cell_0",)


def test_a_fold_that_does_not_exist_is_refused():
    folds = make_folds(["a", "b", "c"])
    with pytest.raises(UserError, match=r"fold '3' does not exist \(3 cases\); choose one of: 0, 1, 2, all"):
        select_fold(folds, "3", ["a", "b", "c"], "x")
