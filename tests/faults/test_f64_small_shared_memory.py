"""F64: without shared memory for processes the work is done in one; batches need none of it."""

import errno
import itertools
import multiprocessing
import re
from pathlib import Path

import pytest
from planned import make_faulty
from small_dataset import make_dataset
from small_fold import CASES, make_setup
from small_volumes import cells

from dd_nnunet.commands import train
from dd_nnunet.commands.checks import check_shared_memory
from dd_nnunet.commands.train_setup import LARGEST_WORKERS
from dd_nnunet.commands.train_setup import make_setup as make_training_setup
from dd_nnunet.core.splits import Fold
from dd_nnunet.storage.hardware import N_SEMAPHORES, cpu_count, why_no_processes
from dd_nnunet.training.batches import BatchSource, iterate_batches, mirroring
from dd_nnunet.training.stopping import StopRequest

MAPS = Path("/proc/self/maps")
FULL = f"no semaphores can be made, is /dev/shm full or missing? ([Errno {errno.ENOSPC}] injected)"


@pytest.fixture
def full(monkeypatch):
    """/dev/shm holds ten semaphores, forty would be needed."""
    counter = itertools.count()

    def semaphore():
        if next(counter) >= 10:
            raise OSError(errno.ENOSPC, "injected")

    monkeypatch.setattr(multiprocessing, "Semaphore", semaphore)


def test_it_is_noticed(full):
    assert why_no_processes() == FULL


def test_a_dataset_is_prepared_in_one_process(full, tmp_path, capsys):
    dataset = make_faulty(tmp_path, cells())
    assert dataset.run("-np", "2") == 0
    assert dataset.prepared_cases == ["cell_0", "cell_1", "cell_2"]
    said = capsys.readouterr().out
    assert said.count(f"warning: {FULL}; the work is done in this process, slower\n") == 2


def n_workers_of_training(root, monkeypatch):
    """As on a machine with a GPU; on the CPU there are no workers anyway."""
    import torch

    from dd_nnunet.networks import device

    gpu = device.Runtime(torch.device("cuda"), False, "cuda")
    monkeypatch.setattr(device, "choose_runtime", lambda *arguments: gpu)
    dataset = make_dataset(root)
    args = train.build_parser().parse_args(["7", "3d_fullres", "0", *dataset.flags])
    configuration = read_plan(dataset).configuration("3d_fullres")
    fold = Fold(("a", "b"), ("c",))
    return make_training_setup(args, dataset.folders, configuration, fold, StopRequest()).n_workers


def read_plan(dataset):
    from dd_nnunet.core.plan import Plan
    from dd_nnunet.storage.atomic import read_record

    return read_record(Plan, dataset.folders.plans_json("ddPlans"))


def test_training_makes_its_batches_itself(full, tmp_path, monkeypatch, caplog):
    assert n_workers_of_training(tmp_path, monkeypatch) == 0
    assert caplog.messages == [f"warning: {FULL}; the work is done in this process, slower"] * (
        cpu_count() > 1
    )


def test_training_has_workers_where_there_is_room(tmp_path, monkeypatch):
    assert n_workers_of_training(tmp_path, monkeypatch) == min(cpu_count() - 1, 8)


def test_the_doctor_tells(full):
    found = check_shared_memory(0, why_no_processes())
    assert (found.state, found.found) == ("warning", FULL)


@pytest.mark.skipif(not (MAPS.exists() and Path("/dev/shm").is_dir()), reason="needs Linux")
def test_only_semaphores_lie_in_shared_memory_and_no_batch(tmp_path):
    source = BatchSource(CASES[:4], make_setup(tmp_path / "p").reader.image, (16, 16, 16), 8, seed=5)
    batches = iterate_batches(source, mirroring(), 0, LARGEST_WORKERS)
    next(batches)
    shared = [line.split()[5] for line in MAPS.read_text().splitlines() if "/dev/shm" in line]
    batches.close()
    assert shared and all(re.fullmatch(r"/dev/shm/sem\.\w+", name) for name in shared)
    assert len(shared) <= N_SEMAPHORES
