"""F49: a checkpoint with a flipped bit does not match its sha256 and is passed over for the one before."""

from pathlib import Path

import pytest
import torch

from dd_nnunet.core.errors import UserError
from dd_nnunet.networks.checkpoint import load_checkpoint, save_checkpoint

W = torch.arange(100.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    for epoch in (1, 2):
        save_checkpoint(tmp_path / "checkpoint_final.pth", {"network": {"w": W}, "epoch": epoch})
    return tmp_path / "checkpoint_final.pth"


def test_every_flipped_bit_is_seen(path: Path) -> None:
    whole = path.read_bytes()
    for place in range(0, len(whole), 11):
        data = bytearray(whole)
        data[place] ^= 1 << (place % 8)
        path.write_bytes(data)
        assert load_checkpoint(path)["epoch"] == 1


def test_a_changed_weight_is_seen(path: Path) -> None:
    """3.0 becomes 3.5, in a file that is well formed otherwise."""
    data = path.read_bytes()
    place = data.index(W.numpy().tobytes()) + 3 * 4
    changed = data[:place] + torch.tensor([3.5]).numpy().tobytes() + data[place + 4 :]
    path.write_bytes(changed)
    assert load_checkpoint(path)["epoch"] == 1


def test_without_a_whole_generation_it_is_an_error(path: Path) -> None:
    for file in (path, path.with_name("checkpoint_final.pth.previous")):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 4
        file.write_bytes(data)
    with pytest.raises(UserError, match="is damaged"):
        load_checkpoint(path)


def test_a_damaged_list_of_checksums_damages_one_generation_only(path: Path) -> None:
    listing = path.with_name("checkpoint_final.pth.sha256")
    text = listing.read_text(encoding="ascii")
    listing.write_bytes(b"\xff" + text.encode()[1:])
    assert load_checkpoint(path)["epoch"] == 1
