"""The same seed gives the same bits, whatever the workers and whether or not repeatable algorithms are asked for."""

import os
from pathlib import Path

import pytest
import torch
from small_fold import CONFIGURATION, make_setup, train_diffusion, train_level
from trained_fold import assert_same_weights

from dd_nnunet.commands import train_setup
from dd_nnunet.core.splits import Fold
from dd_nnunet.training.stopping import StopRequest

LEVEL = CONFIGURATION.levels[1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained")
    setup = make_setup(root / "prepared")
    train_diffusion(setup, root / "fold")
    train_level(setup, root / "fold", LEVEL)
    return root


@pytest.mark.parametrize("n_workers", [1, 3])
def test_the_number_of_workers_changes_no_weight(trained: Path, tmp_path: Path, n_workers: int) -> None:
    setup = make_setup(trained / "prepared", n_workers=n_workers)
    train_diffusion(setup, tmp_path)
    train_level(setup, tmp_path, LEVEL)
    for name in ("diffusion", "level2"):
        assert_same_weights(
            tmp_path / name / "checkpoint_final.pth", trained / "fold" / name / "checkpoint_final.pth"
        )


def test_global_random_states_change_no_weight(trained: Path, tmp_path: Path) -> None:
    torch.manual_seed(12345)
    train_diffusion(make_setup(trained / "prepared"), tmp_path)
    final = Path("diffusion") / "checkpoint_final.pth"
    assert_same_weights(tmp_path / final, trained / "fold" / final)


def test_repeatable_algorithms_are_asked_for_and_are_the_same_on_a_cpu(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On CUDA --deterministic makes the difference; test_deterministic.py has the test for a GPU."""
    import argparse

    class Folders:
        def prepared(self, *_: str) -> Path:
            return trained / "prepared"

    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(train_setup, "_data_sha256", lambda *_: "")
    flags = argparse.Namespace(
        device="cpu", deterministic=True, seed=0, no_pbar=True, quiet=True, plans_name="p", configuration="c"
    )
    fold = Fold(*(make_setup(trained / "prepared").fold.__dict__.values()))
    try:
        setup = train_setup.make_setup(flags, Folders(), CONFIGURATION, fold, StopRequest())  # type: ignore[arg-type]
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        assert not torch.backends.cudnn.benchmark
        train_diffusion(setup, tmp_path)
        train_level(setup, tmp_path, LEVEL)
    finally:
        torch.use_deterministic_algorithms(False)
    for name in ("diffusion", "level2"):
        assert_same_weights(
            tmp_path / name / "checkpoint_final.pth", trained / "fold" / name / "checkpoint_final.pth"
        )
