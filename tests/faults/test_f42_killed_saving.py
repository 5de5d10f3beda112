"""F42: wherever a kill falls while a checkpoint is saved, loading works, and loses at most that save."""

import itertools
import signal
from pathlib import Path

import pytest
import torch
from killing import forked

from dd_nnunet.networks.checkpoint import load_checkpoint, save_checkpoint
from dd_nnunet.storage.atomic import remove_leftovers


def generation(number: int) -> dict[str, object]:
    return {"network": {"w": torch.full((700,), float(number))}, "epoch": number}


def saved(folder: Path, n_generations: int = 2) -> Path:
    for number in range(1, n_generations + 1):
        save_checkpoint(folder / "checkpoint_latest.pth", generation(number))
    return folder / "checkpoint_latest.pth"


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_killed_at_every_byte(tmp_path: Path) -> None:
    path = saved(tmp_path)
    size = path.stat().st_size
    for n_bytes in range(0, size, size // 40):
        code, _ = forked(lambda: save_checkpoint(path, generation(3)), largest_file=n_bytes)
        assert code == -signal.SIGXFSZ
        assert load_checkpoint(path)["epoch"] == 2
        remove_leftovers(tmp_path)


@pytest.mark.parametrize("n_generations", [1, 2, 3])
def test_killed_at_every_write_point(tmp_path: Path, n_generations: int) -> None:
    found = []
    for point in itertools.count(1):
        folder = tmp_path / str(point)
        folder.mkdir()
        path = saved(folder, n_generations)
        code, _ = forked(lambda path=path: save_checkpoint(path, generation(9)), kill_at=point)
        found.append(load_checkpoint(path)["epoch"])
        if code == 0:
            break
        assert code == -signal.SIGKILL
        # the run goes on from there as if nothing had been
        save_checkpoint(path, generation(10))
        assert load_checkpoint(path)["epoch"] == 10
        flip_a_byte(path)
        assert load_checkpoint(path)["epoch"] == found[-1]
    n = n_generations
    # the list of digests; the old generation set aside; the new one in its place
    assert found == [n, n, n, n, n, 9, 9]


def test_killed_again_and_again(tmp_path: Path) -> None:
    """Every second start is killed at the next write point, so that kills meet what kills have left."""
    path, newest = saved(tmp_path), 2
    for number in range(3, 40):
        forked(lambda number=number: save_checkpoint(path, generation(number)), kill_at=number % 6 + 1)
        found = load_checkpoint(path)["epoch"]
        assert found in (newest, number)
        newest = found


def test_a_damaged_checkpoint_does_not_push_out_the_whole_one(tmp_path: Path) -> None:
    path = saved(tmp_path)
    flip_a_byte(path)
    for point in itertools.count(1):
        code, _ = forked(lambda: save_checkpoint(path, generation(3)), kill_at=point)
        if code == 0:
            break
        assert load_checkpoint(path)["epoch"] in (1, 3)
    assert load_checkpoint(path)["epoch"] == 3
