"""Checkpoints: whole or old."""

from pathlib import Path

import torch

from dd_nnunet.networks.checkpoint import load_checkpoint, save_checkpoint
from dd_nnunet.storage.atomic import sha256_of


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint_latest.pth"
    save_checkpoint(path, {"network": {"w": torch.tensor([1.0, 2.0])}, "epoch": 3, "rank": [1, 0.5]})
    loaded = load_checkpoint(path)
    assert loaded["network"]["w"].tolist() == [1, 2]
    assert loaded["epoch"] == 3 and loaded["rank"] == [1, 0.5]


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    content = {"network": {"w": torch.tensor([1.0, 2.0])}, "epoch": 3}
    save_checkpoint(tmp_path / "checkpoint_latest.pth", content)
    save_checkpoint(tmp_path / "other.pth", load_checkpoint(tmp_path / "checkpoint_latest.pth"))
    assert (tmp_path / "other.pth").read_bytes() == (tmp_path / "checkpoint_latest.pth").read_bytes()


def test_the_checksums_are_those_of_sha256sum(tmp_path: Path) -> None:
    for epoch in (1, 2):
        save_checkpoint(tmp_path / "c.pth", {"epoch": epoch})
    lines = (tmp_path / "c.pth.sha256").read_text(encoding="ascii").splitlines()
    assert lines == [f"{sha256_of(tmp_path / name)}  {name}" for name in ("c.pth", "c.pth.previous")]
