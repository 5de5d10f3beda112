"""What a trained fold holds, to compare two of them."""

import json
from pathlib import Path

import torch

from dd_nnunet.networks.checkpoint import load_checkpoint

STAGES = ("diffusion", "level1", "level2")
CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth", "checkpoint_latest.pth")


def load_weights_of(path: Path) -> dict[str, torch.Tensor]:
    content: dict[str, torch.Tensor] = load_checkpoint(path)["network"]
    return content


def assert_same_weights(a: Path, b: Path) -> None:
    """The same bits in the networks of two checkpoints."""
    first, second = load_weights_of(a), load_weights_of(b)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first), a


def assert_same_fold(a: Path, b: Path, stages=STAGES) -> None:
    """The same bits in all networks of two folds, and the same logs."""
    for stage in stages:
        for name in CHECKPOINTS:
            assert_same_weights(a / stage / name, b / stage / name)
        assert log_of(a / stage) == log_of(b / stage)


def log_of(folder: Path) -> list[dict[str, object]]:
    """The log without what two runs may differ in."""
    entries = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [{key: value for key, value in entry.items() if key != "seconds"} for entry in entries]


def saved_iteration(folder: Path) -> int:
    iteration: int = load_checkpoint(folder / "checkpoint_latest.pth")["progress"]["iteration"]
    return iteration
