"""F47: a finished fold says so and exits 0; another run's fold is an error saying what differs; --fresh keeps it."""

import shutil

import pytest
from small_dataset import make_trainable
from small_model import contents_of, make_model
from small_plan import CONFIGURATION
from trained_fold import STAGES

from dd_nnunet.core.plan import LevelPlan
from dd_nnunet.storage.atomic import sha256_of


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        trainable = make_trainable(tmp_path_factory.mktemp("finished"), patch)
        assert trainable.train("-q", "--seed", "3") == 0
        yield trainable


def files_of(fold):
    """All that training writes; a start is noted in debug.json."""
    kept = (path for path in fold.rglob("*") if path.is_file() and path.name != "debug.json")
    return {
        path.relative_to(fold): sha256_of(path)
        for path in kept
        if not path.name.startswith(("training_log", "."))
    }


def test_a_finished_fold_says_so_and_changes_nothing(finished, capsys):
    before = files_of(finished.fold)
    assert finished.train("--seed", "3") == 0
    assert capsys.readouterr().out.count("finished already (--fresh trains anew)") == len(STAGES)
    assert files_of(finished.fold) == before


def test_another_seed_is_another_run(finished, capsys):
    before = files_of(finished.fold)
    assert finished.train("-q", "--seed", "4") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "holds a run of another identity: seed was 3, now 4; --fresh moves it aside" in error
    assert files_of(finished.fold) == before


def test_another_plan_is_another_run(finished, capsys):
    before = files_of(finished.fold)
    levels = CONFIGURATION.levels
    finished.write_plan(levels=(levels[0], LevelPlan(2, 5, (2,))))
    assert finished.train("-q", "--seed", "3") == 2
    finished.write_plan()
    error = capsys.readouterr().err
    assert "these folds were trained with another plan: " in error
    assert "configurations.3d_fullres.levels[1].n_parts was 3, now 5" in error
    assert "-overwrite_plans_name" in error
    assert files_of(finished.fold) == before


def test_fresh_moves_the_old_fold_aside(finished):
    before = files_of(finished.fold)
    assert finished.train("-q", "--seed", "4", "--fresh", "--stage", "diffusion") == 0
    (moved,) = finished.model.glob("fold_all.bak_*")
    assert files_of(moved) == before
    assert not (finished.fold / "level1").exists()


def test_an_installed_model_is_not_trained_over(tmp_path, monkeypatch, capsys):
    trainable = make_trainable(tmp_path, monkeypatch)
    make_model(trainable.workspace.results_folder(), folds=("all",))
    shutil.copy(trainable.folders.plans_json("ddPlans"), trainable.model / "plans.json")
    before = contents_of(trainable.model)
    assert trainable.train("-q") == 2
    assert capsys.readouterr().err == (
        f"dd_train: error: {trainable.fold}: holds a model that was not trained here (diffusion, level1, "
        "level2; installed from a zip, say); --fresh moves it aside and starts anew, or choose another folder "
        "with --results\n"
    )
    assert contents_of(trainable.model) == before
    assert trainable.train("-q", "--fresh", "--stage", "diffusion") == 0
    (moved,) = trainable.model.glob("fold_all.bak_*")
    kept = {f"fold_all/{name}": content for name, content in contents_of(moved).items() if name != ".lock"}
    assert kept == {name: content for name, content in before.items() if name.startswith("fold_all/")}
