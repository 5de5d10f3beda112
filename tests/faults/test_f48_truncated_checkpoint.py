"""F48: a truncated or empty checkpoint is passed over with a warning for the one before; without one, an error."""

import logging
from pathlib import Path

import pytest
import torch

from dd_nnunet.core.errors import UserError
from dd_nnunet.networks.checkpoint import load_checkpoint, save_checkpoint
from dd_nnunet.storage.run_folder import open_run_folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    for epoch in (1, 2):
        content = {"network": {"w": torch.arange(100.0)}, "epoch": epoch}
        save_checkpoint(tmp_path / "checkpoint_latest.pth", content)
    return tmp_path / "checkpoint_latest.pth"


def test_every_prefix_gives_the_generation_before(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = path.read_bytes()
    for length in range(0, len(whole), 50):
        path.write_bytes(whole[:length])
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert load_checkpoint(path)["epoch"] == 1
        assert caplog.messages == [f"{path} is damaged or missing; the generation before it is taken"]


def test_a_missing_one_gives_the_generation_before(path: Path) -> None:
    path.unlink()
    assert load_checkpoint(path)["epoch"] == 1


@pytest.mark.parametrize("length", [0, 1, 100])
def test_without_a_generation_before_it_is_an_error(path: Path, length: int) -> None:
    for file in (path, path.with_name("checkpoint_latest.pth.previous")):
        file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(UserError) as caught:
        load_checkpoint(path)
    assert caught.value.where == str(path)
    assert caught.value.remedy == "train with --fresh"


def test_without_a_list_of_checksums_torch_is_the_check(path: Path) -> None:
    path.with_name("checkpoint_latest.pth.sha256").unlink()
    assert load_checkpoint(path)["epoch"] == 2
    path.write_bytes(path.read_bytes()[:-1])
    assert load_checkpoint(path)["epoch"] == 1


def test_the_warning_is_kept_in_the_log_of_the_run(path: Path) -> None:
    path.write_bytes(b"")
    with open_run_folder(path.parent, {}):
        load_checkpoint(path)
    (log,) = path.parent.glob("training_log_*.txt")
    assert "the generation before it is taken" in log.read_text(encoding="utf-8")
