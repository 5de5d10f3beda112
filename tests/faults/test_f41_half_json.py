"""F41: a kill while JSON is written leaves the old file or the new one, never half."""

import itertools
import signal
from pathlib import Path

import pytest
from killing import forked

from dd_nnunet.storage.atomic import read_json, remove_leftovers, write_json

OLD = {"state": "old", "numbers": list(range(50))}
NEW = {"state": "new", "numbers": list(range(100))}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_json(tmp_path / "plan.json", OLD)
    return tmp_path / "plan.json"


def test_killed_at_every_write_point(path: Path) -> None:
    found = []
    for point in itertools.count(1):
        write_json(path, OLD)
        code, _ = forked(lambda: write_json(path, NEW), kill_at=point)
        found.append(read_json(path)["state"])
        if code == 0:
            break
        assert code == -signal.SIGKILL
    # before the rename, after it, and not killed
    assert found == ["old", "new", "new"]


def test_killed_at_every_byte(path: Path) -> None:
    write_json(path.with_name("whole.json"), NEW)
    size = path.with_name("whole.json").stat().st_size
    for n_bytes in range(0, size, 31):
        code, _ = forked(lambda: write_json(path, NEW), largest_file=n_bytes)
        assert code == -signal.SIGXFSZ
        assert read_json(path) == OLD
        (half,) = path.parent.glob(".dd_tmp_*")
        assert half.stat().st_size == n_bytes
        remove_leftovers(path.parent)
    assert forked(lambda: write_json(path, NEW), largest_file=size)[0] == 0
    assert read_json(path) == NEW
