"""F50: a checkpoint of another plan, another number of parts or another kind is refused, saying what differs."""

import shutil

import pytest
from small_dataset import make_trainable

from dd_nnunet.networks.checkpoint import load_checkpoint, save_checkpoint


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Both levels trained; level 1 does not know that it is finished."""
    with pytest.MonkeyPatch.context() as patch:
        trainable = make_trainable(tmp_path_factory.mktemp("stopped"), patch)
        assert trainable.train("-q") == 0
        (trainable.fold / "level1" / "finished.json").unlink()
        yield trainable


def resumed_from(stopped, tmp_path, capsys, *source):
    """Continue level 1 from another file; what the error says."""
    trainable = stopped.with_results(tmp_path)
    shutil.copytree(stopped.workspace.results, tmp_path, dirs_exist_ok=True)
    path = trainable.fold / "level1" / "checkpoint_latest.pth"
    save_checkpoint(path, load_checkpoint(trainable.fold.joinpath(*source)))
    assert trainable.train("-q", "-l", "1") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"dd_train: error: {path}: ") and error.count("\n") == 1
    return error


def test_another_number_of_parts(stopped, tmp_path, capsys):
    error = resumed_from(stopped, tmp_path, capsys, "level2", "checkpoint_latest.pth")
    assert "is of another network: decoder.seg_layers.0.weight has shape (3, 8, 1, 1, 1), " in error
    assert "the plan's network (2, 8, 1, 1, 1); use the plan it was trained with" in error


def test_another_kind_of_model(stopped, tmp_path, capsys):
    error = resumed_from(stopped, tmp_path, capsys, "diffusion", "checkpoint_latest.pth")
    assert "is of another network (" in error and " is in one of them only)" in error


def test_a_file_that_is_no_state_to_continue_from(stopped, tmp_path, capsys):
    error = resumed_from(stopped, tmp_path, capsys, "level1", "checkpoint_best.pth")
    assert "it lacks memory, optimizer, progress" in error


def test_another_optimizer(stopped, tmp_path, capsys):
    saved = load_checkpoint(stopped.fold / "level1" / "checkpoint_latest.pth")
    saved["optimizer"]["param_groups"][0]["params"].pop()
    save_checkpoint(stopped.fold / "level1" / "other.pth", saved)
    error = resumed_from(stopped, tmp_path, capsys, "level1", "other.pth")
    assert "its optimizer is of another network" in error


def test_a_diffusion_model_of_another_plan(stopped, tmp_path, capsys):
    trainable = stopped.with_results(tmp_path)
    given = stopped.fold / "level2" / "checkpoint_final.pth"
    assert trainable.train("-q", "--stage", "diffusion", "-pretrained_diffusion", str(given)) == 2
    assert f"{given}: is of another network" in capsys.readouterr().err
    assert not list(tmp_path.rglob("checkpoint_*.pth"))
