"""F43: a training killed at any step loses at most a save interval and ends with the same weights, bit for bit."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from small_fold import CONFIGURATION, make_setup, train_diffusion, train_level
from trained_fold import assert_same_fold, saved_iteration

from dd_nnunet.storage.run_folder import is_finished
from dd_nnunet.training import pretrain_diffusion

TESTS = Path(__file__).parents[1]
LEVEL = CONFIGURATION.levels[1]
N_STEPS = CONFIGURATION.diffusion.iterations + 4 * 3
# kills itself during step number argv[2], counted over both trainings; argv[3] are the seconds between saves
KILLED = f"""
import dataclasses, os, pathlib, signal, sys
sys.path.insert(0, {str(TESTS)!r})
from small_fold import CONFIGURATION, make_setup, train_diffusion, train_level
from dd_nnunet.training import loop, pretrain_diffusion
pretrain_diffusion.BLOCKS = 2
root, steps_left, save_seconds = pathlib.Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
step = loop._Loop._step
def counted(self, batch):
    global steps_left
    step(self, batch)
    steps_left -= 1
    if not steps_left:
        os.kill(os.getpid(), signal.SIGKILL)
loop._Loop._step = counted
setup = dataclasses.replace(make_setup(root / "prepared"), save_seconds=save_seconds)
train_diffusion(setup, root / "fold")
train_level(setup, root / "fold", CONFIGURATION.levels[1])
"""


@pytest.fixture(autouse=True)
def two_epochs_of_two_steps(monkeypatch):
    monkeypatch.setattr(pretrain_diffusion, "BLOCKS", 2)


def train(root, fold):
    setup = make_setup(root / "prepared")
    train_diffusion(setup, fold)
    train_level(setup, fold, LEVEL)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A fold trained without interruption."""
    root = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain_diffusion, "BLOCKS", 2)
        train(root, root / "whole")
    return root


def killed(root, step, save_seconds):
    """Train in another process until it is killed; its exit code."""
    arguments = [sys.executable, "-c", KILLED, str(root), str(step), str(save_seconds)]
    return subprocess.run(arguments, check=False, timeout=240, capture_output=True).returncode


def assert_finishes_as(root, fold, whole):
    train(root, fold)
    assert_same_fold(fold, whole / "whole", ("diffusion", "level2"))


def test_a_kill_in_the_middle_of_an_epoch_loses_one_save_interval(whole, tmp_path):
    # in step 2 of the second epoch of the level, with a save after every step
    assert killed(tmp_path, CONFIGURATION.diffusion.iterations + 5, 0) == -signal.SIGKILL
    assert saved_iteration(tmp_path / "fold" / "level2") == 4
    assert_finishes_as(tmp_path, tmp_path / "fold", whole)


def test_the_save_interval_is_ten_minutes(tmp_path):
    assert make_setup(tmp_path / "prepared").save_seconds == 600


@pytest.mark.slow
@pytest.mark.parametrize("save_seconds", [0, 600])
# first and last of the diffusion model, first, in an epoch and last of the level
@pytest.mark.parametrize("step", [1, 4, 5, 9, N_STEPS])
def test_a_kill_at_any_step(whole, tmp_path, step, save_seconds):
    assert killed(tmp_path, step, save_seconds) == -signal.SIGKILL
    assert_finishes_as(tmp_path, tmp_path / "fold", whole)


@pytest.mark.slow
def test_killed_in_every_fifth_step_it_still_comes_to_its_end(whole, tmp_path):
    codes = []
    while not codes or codes[-1]:
        codes.append(killed(tmp_path, 5, 0))
        assert len(codes) <= N_STEPS
    assert set(codes) == {-signal.SIGKILL, 0}
    assert_finishes_as(tmp_path, tmp_path / "fold", whole)
    assert not is_finished(tmp_path / "fold" / "level2")  # the command's task, not the training's
