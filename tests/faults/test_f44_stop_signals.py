"""F44: SIGTERM and SIGUSR1 end the step, save it and exit with 75; resumed, the weights are the same bit for bit."""

import os
import signal

import pytest
from small_dataset import make_trainable
from trained_fold import assert_same_fold, saved_iteration

from dd_nnunet.training import loop


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def whole(tmp_path_factory, patch):
    trainable = make_trainable(tmp_path_factory.mktemp("whole"), patch)
    assert trainable.train("-q") == 0
    return trainable


def train_with_signal(trainable, monkeypatch, name, number, signal_number):
    """Send ourselves a signal in the middle of step `number` of the training called `name`."""
    step = loop._Loop._step

    def signalled(self, batch):
        if self.trainer.name.startswith(name) and batch["iteration"] + 1 == number:
            os.kill(os.getpid(), signal_number)
        step(self, batch)

    monkeypatch.setattr(loop._Loop, "_step", signalled)
    code = trainable.train("-q")
    monkeypatch.setattr(loop._Loop, "_step", step)
    return code


def test_signals_stop_and_the_same_command_continues(whole, tmp_path, monkeypatch, capsys):
    trainable = whole.with_results(tmp_path)
    usr1 = signal.getsignal(signal.SIGUSR1)
    # in the middle of epochs of three steps, once at the end of one
    for name, folder, number, asked in (
        ("diffusion", "diffusion", 2, signal.SIGTERM),
        ("diffusion", "diffusion", 6, signal.SIGUSR1),
        ("level 1", "level1", 5, signal.SIGUSR1),
        ("level 2", "level2", 1, signal.SIGTERM),
    ):
        assert train_with_signal(trainable, monkeypatch, name, number, asked) == 75
        said = capsys.readouterr().err
        assert said == (
            f"dd_train: error: {trainable.fold / folder}: stopped by {asked.name} after iteration {number}; "
            "the same command continues\n"
        )
        assert saved_iteration(trainable.fold / folder) == number
    assert trainable.train("-q") == 0
    assert_same_fold(trainable.fold, whole.fold)
    assert signal.getsignal(signal.SIGUSR1) == usr1


def test_features_and_predictions_are_stopped_too(whole, tmp_path, monkeypatch, capsys):
    from dd_nnunet.prediction.predict_case import FoldEnsemble
    from dd_nnunet.training.feature_cache import FeatureCache

    trainable = whole.with_results(tmp_path)
    for owner, method, written in (
        (FeatureCache, "_write", "features/*_denoised.b2nd"),
        (FoldEnsemble, "write", "level1/validation/*.nii.gz"),
    ):
        original = getattr(owner, method)

        def signalled(*arguments, original=original, **named):
            os.kill(os.getpid(), signal.SIGTERM)
            return original(*arguments, **named)

        monkeypatch.setattr(owner, method, signalled)
        assert trainable.train("-q", "-l", "1") == 75
        assert "stopped by SIGTERM; the same command continues" in capsys.readouterr().err
        monkeypatch.setattr(owner, method, original)
        assert len(list(trainable.fold.glob(written))) == 1
    assert trainable.train("-q", "-l", "1") == 0
