"""Batches depend on the seed and the iteration alone."""

import itertools
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_fold import CASES, make_setup

from dd_nnunet.training.batches import BatchSource, iterate_batches, photometric


@pytest.fixture
def source(tmp_path: Path) -> BatchSource:
    reader = make_setup(tmp_path / "prepared").reader
    return BatchSource(CASES[:4], reader.image, (8, 12, 16), 2, seed=5)


def take(source: BatchSource, first: int, n: int, n_workers: int = 0) -> list[dict[str, object]]:
    batches = iterate_batches(source, photometric(), first, n_workers)
    taken = list(itertools.islice(batches, n))
    batches.close()  # type: ignore[attr-defined]
    return taken


def test_a_patch_lies_where_it_says(source: BatchSource) -> None:
    batch = next(iterate_batches(source, _identity(), 0, 0))
    for patch, case_id, (z, y, x) in zip(batch["data"], batch["case_ids"], batch["starts_zyx"], strict=True):
        whole = source.load_case(case_id)
        assert np.array_equal(patch, whole[:, z : z + 8, y : y + 12, x : x + 16])


def _identity():
    from batchgenerators.transforms.abstract_transforms import Compose

    return Compose([])


def test_resuming_gives_the_same_batches(source: BatchSource) -> None:
    whole, resumed = take(source, 0, 4), take(source, 2, 2)
    for a, b in zip(whole[2:], resumed, strict=True):
        assert a["iteration"] == b["iteration"]
        assert np.array_equal(a["data"], b["data"])
    assert not np.array_equal(whole[0]["data"], whole[1]["data"])


def test_the_global_random_states_stay_as_they_were(source: BatchSource) -> None:
    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.random()
    random.seed(1)
    np.random.seed(1)
    take(source, 0, 2)
    assert (random.random(), np.random.random()) == expected


def test_the_number_of_workers_changes_nothing(source: BatchSource) -> None:
    alone, shared = take(source, 1, 5), take(source, 1, 5, n_workers=2)
    for a, b in zip(alone, shared, strict=True):
        assert a["iteration"] == b["iteration"]
        assert a["case_ids"] == b["case_ids"]
        assert np.array_equal(np.asarray(a["data"]), np.asarray(b["data"]))


def test_a_killed_training_leaves_no_worker_behind(tmp_path: Path) -> None:
    code = f"""
import multiprocessing, os, pathlib, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from small_fold import CASES, make_setup
from dd_nnunet.training.batches import BatchSource, iterate_batches, photometric
reader = make_setup(pathlib.Path({str(tmp_path / "prepared")!r})).reader
batches = iterate_batches(BatchSource(CASES[:4], reader.image, (8, 8, 8), 2, 5), photometric(), 0, 2)
next(batches)
print(*(child.pid for child in multiprocessing.active_children()), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, encoding="utf-8", check=False)
    assert done.returncode == -signal.SIGKILL
    pids = done.stdout.split()
    assert len(pids) == 2
    deadline = time.monotonic() + 5
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
