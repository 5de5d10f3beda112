"""F61: a fold started twice is refused; a dead process's lock is taken over, told (without flock: at home only)."""

import os
import signal

import pytest
from other_processes import end, start, wait_for
from small_dataset import make_dataset

from dd_nnunet.commands import train

TRAIN_WHEN_TOLD = """
import sys
from dd_nnunet.commands import train, train_setup
assert train_setup.make_setup and train._train and train._validate
train_setup.make_setup = lambda *arguments: type("Setup", (), {"runtime": type("Runtime", (), {"because": "cpu"})})
def train_when_told(*arguments):
    print("the fold is held", flush=True)
    sys.stdin.readline()
train._train = train_when_told
train._validate = lambda *arguments: print("validated")
sys.exit(train.main(sys.argv[1:]))
"""


@pytest.fixture
def dataset(tmp_path):
    return make_dataset(tmp_path)


@pytest.fixture
def first(dataset):
    process = start(TRAIN_WHEN_TOLD, "7", "3d_fullres", "0", *dataset.flags)
    wait_for(process, "the fold is held")
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def fold(dataset):
    return dataset.model / "fold_0"


@pytest.mark.parametrize("flags", [(), ("--val",), ("--stage", "diffusion"), ("--fresh",)])
def test_the_second_is_refused(dataset, first, fold, flags, capsys):
    assert train.main(["7", "3d_fullres", "0", *dataset.flags, *flags]) == 2
    holder = f"process {first.pid} on {os.uname().nodename}"
    assert capsys.readouterr().err == (
        f"dd_train: error: {fold}: is in use by {holder}; wait for it to end, or stop it\n"
    )
    first.stdin.write("go on\n")
    code, out, _ = end(first)
    assert code == 0 and out.endswith("validated\n")


def test_another_fold_is_another_matter(dataset, first):
    second = start(TRAIN_WHEN_TOLD, "7", "3d_fullres", "1", *dataset.flags)
    wait_for(second, "the fold is held")
    assert end(second)[0] == 0


def test_a_killed_one_is_taken_over_with_a_warning(dataset, first, fold):
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = start(TRAIN_WHEN_TOLD, "7", "3d_fullres", "0", *dataset.flags)
    said = wait_for(second, "taken over")
    holder = f"process {first.pid} on {os.uname().nodename}"
    assert said == f"warning: {fold}: {holder} ended without freeing its lock; taken over\n"
    assert end(second)[0] == 0
    # the second ended well, so there is nothing to tell
    third = start(TRAIN_WHEN_TOLD, "7", "3d_fullres", "0", *dataset.flags)
    code, out, _ = end(third)
    assert code == 0 and "taken over" not in out
