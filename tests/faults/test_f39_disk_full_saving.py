"""F39: disk full while a checkpoint is saved: the old one stays whole, exit 74, and the same command goes on."""

import errno
import hashlib
import io
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from full_disk import fill_disk, from_the_nth_on, needs_dev_full
from killing import different
from short_training import TRAIN, prepare_training

from dd_nnunet.commands import train
from dd_nnunet.core.errors import DiskError
from dd_nnunet.networks.checkpoint import _HashedWriter, load_checkpoint, save_checkpoint


class _FullFile(io.FileIO):
    """Takes so many bytes."""

    def __init__(self, path: Path, n_fit: int) -> None:
        super().__init__(path, "wb")
        self.n_fit = n_fit

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self.n_fit:
            raise OSError(errno.ENOSPC, "injected")
        return super().write(data)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@needs_dev_full
@pytest.mark.parametrize("ending", [".pth", ".sha256"])
def test_the_old_one_stays_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    path = tmp_path / "checkpoint_latest.pth"
    for epoch in (1, 2):
        save_checkpoint(path, {"epoch": epoch})
    before = files(tmp_path)
    fill_disk(monkeypatch, lambda file: file.name.endswith(ending))
    with pytest.raises(DiskError, match="no space left"):
        save_checkpoint(path, {"epoch": 3})
    monkeypatch.undo()
    assert files(tmp_path) == before
    save_checkpoint(path, {"epoch": 3})
    assert load_checkpoint(path) == {"epoch": 3}


def test_a_disk_that_says_so_only_when_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint_latest.pth"
    save_checkpoint(path, {"epoch": 1})
    before = files(tmp_path)

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "injected")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DiskError, match="no space left"):
        save_checkpoint(path, {"epoch": 2})
    monkeypatch.undo()
    assert files(tmp_path) == before


@pytest.mark.parametrize("n_fit", [0, 10_000, 200_000, 250_000, 395_000])
def test_a_disk_that_fills_up_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_fit: int
) -> None:
    """Wherever it happens, torch's own error does not hide the disk's."""
    path = tmp_path / "checkpoint_latest.pth"
    save_checkpoint(path, {"weights": torch.zeros(10)})
    before = files(tmp_path)

    def open_full(stream: _HashedWriter, temporary: Path) -> None:
        io.BufferedWriter.__init__(stream, _FullFile(temporary, n_fit), buffer_size=4096)
        stream.sha256, stream.failure = hashlib.sha256(), None

    monkeypatch.setattr(_HashedWriter, "__init__", open_full)
    with pytest.raises(DiskError, match="no space left"):
        save_checkpoint(path, {"weights": torch.zeros(100_000)})
    monkeypatch.undo()
    assert files(tmp_path) == before


@needs_dev_full
def test_training_goes_on_when_there_is_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = prepare_training(tmp_path / "run")
    shutil.copytree(dataset.root, tmp_path / "start")
    fill_disk(monkeypatch, from_the_nth_on(2, "checkpoint_latest.pth"))
    capsys.readouterr()
    assert train.main([*TRAIN, *dataset.flags]) == 74
    monkeypatch.undo()
    error = capsys.readouterr().err
    assert "diffusion/checkpoint_latest.pth: no space left on the disk" in error
    assert error.count("\n") == 1
    (saved,) = dataset.root.rglob("checkpoint_latest.pth")
    assert load_checkpoint(saved)
    assert train.main([*TRAIN, *dataset.flags]) == 0
    dataset.root.rename(tmp_path / "continued")
    shutil.copytree(tmp_path / "start", dataset.root)
    assert train.main([*TRAIN, *dataset.flags]) == 0
    assert different(dataset.root, tmp_path / "continued") == []
