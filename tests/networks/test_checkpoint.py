"""Checkpoints: whole or old."""

from pathlib import Path

import pytest
import torch

from dd_nnunet.core.errors import UserError
from dd_nnunet.networks.checkpoint import load_checkpoint, save_checkpoint


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint_latest.pth"
    save_checkpoint(path, {"network": {"w": torch.tensor([1.0, 2.0])}, "epoch": 3, "rank": [1, 0.5]})
    loaded = load_checkpoint(path)
    assert loaded["network"]["w"].tolist() == [1, 2]
    assert loaded["epoch"] == 3 and loaded["rank"] == [1, 0.5]


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_damaged_checkpoint_gives_the_generation_before(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "checkpoint_latest.pth"
    save_checkpoint(path, {"epoch": 1})
    save_checkpoint(path, {"epoch": 2})
    data = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    elif damage == "truncate":
        path.write_bytes(data[: len(data) // 2])
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    assert load_checkpoint(path) == {"epoch": 1}


def test_no_generation_left_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint_final.pth"
    path.write_bytes(b"")
    with pytest.raises(UserError, match="--fresh"):
        load_checkpoint(path)
