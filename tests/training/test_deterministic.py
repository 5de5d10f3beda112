"""What --deterministic sets in the command, and that two trainings with it give the same bits, on a GPU too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_dataset import SmallDataset, make_dataset
from trained_fold import assert_same_weights

TRAIN = """
import os, sys, torch
from dd_nnunet.commands.train import main
code = main(sys.argv[1:])
is_set = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
print(*is_set, os.environ.get("CUBLAS_WORKSPACE_CONFIG"))
sys.exit(code)
"""
NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_CUDA])]


@pytest.fixture
def dataset(tmp_path: Path) -> SmallDataset:
    return make_dataset(tmp_path, labels=False)


def train(dataset: SmallDataset, results: Path, *flags: str) -> str:
    """Train in a process of its own, as cuBLAS asks for its workspace once; what was set there."""
    arguments = ["7", "3d_fullres", "all", *dataset.flags, "--results", str(results), "-q", *flags]
    environment = {key: value for key, value in os.environ.items() if key != "CUBLAS_WORKSPACE_CONFIG"}
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, *arguments], env=environment, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("device", DEVICES)
def test_two_trainings_give_the_same_bits(dataset: SmallDataset, tmp_path: Path, device: str) -> None:
    for name in ("first", "second"):
        assert train(dataset, tmp_path / name, "-device", device, "--deterministic") == "True False :4096:8"
    (first,) = (tmp_path / "first").glob("*/*/fold_all")
    (second,) = (tmp_path / "second").glob("*/*/fold_all")
    for stage in ("diffusion", "level1", "level2"):
        assert_same_weights(first / stage / "checkpoint_final.pth", second / stage / "checkpoint_final.pth")


def test_without_the_flag_nothing_is_set(dataset: SmallDataset, tmp_path: Path) -> None:
    flags = ("-device", "cpu", "--stage", "diffusion")
    assert train(dataset, tmp_path / "free", *flags) == "False True None"
