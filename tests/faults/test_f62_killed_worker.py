"""F62: a killed worker: signal and need of memory are told, fewer go on, at last the case alone is an error."""

import itertools
import logging
import multiprocessing
import os
import signal
from functools import partial

import numpy as np
import preprocessing.worker_functions as worker_functions
import pytest
from other_processes import end, start
from planned import make_faulty
from small_fold import CASES as BALLS
from small_fold import make_setup
from small_volumes import cells

from dd_nnunet.core.dataset import CaseFiles
from dd_nnunet.core.errors import UserError
from dd_nnunet.preprocessing.parallel import Workers, map_cases
from dd_nnunet.training.batches import BatchSource, iterate_batches, photometric

CASES = [CaseFiles(name, ()) for name in "abcd"]
FOUR = Workers(4, bytes_per_case=3e9)
KILLED = "was killed by SIGKILL, as the system does when memory runs out"
PREPARE = """
import sys
import workers_that_fail
from dd_nnunet.commands import plan_and_preprocess
from dd_nnunet.preprocessing import dataset
dataset._measure = workers_that_fail.die_of_cell_1
sys.exit(plan_and_preprocess.main(sys.argv[1:]))
"""


def test_fewer_processes_finish_what_was_killed_once(tmp_path, caplog):
    function = partial(worker_functions.die_on_c_once, marker=tmp_path / "died")
    assert list(map_cases(function, CASES, FOUR, "x").values()) == ["a", "b", "c", "d"]
    (warning,) = caplog.messages
    assert warning.startswith(f"warning: a process {KILLED}; the largest case needs about 2.8 GB; ")
    # one, two or all three of the others may have been done when it died
    assert warning.endswith(("cases are tried again, 2 at once", "1 case is tried again, 1 at once"))


def test_what_dies_alone_too_is_an_error_of_that_case_only(caplog):
    done = []
    with pytest.raises(UserError) as caught:
        map_cases(worker_functions.die_on_c, CASES, FOUR, "x", lambda case_id, _: done.append(case_id))
    assert caught.value.where == "case c"
    assert caught.value.reason == f"its process {KILLED}; the largest case needs about 2.8 GB"
    assert sorted(done) == ["a", "b", "d"]
    # "2 at once" is left out where nothing but it was still to do when it died first
    assert [message[-9:] for message in caplog.messages][-2:] in (["2 at once", "1 at once"], ["1 at once"])


def test_the_command_says_it_in_its_last_line(tmp_path):
    dataset = make_faulty(tmp_path, cells())
    code, out, errors = end(start(PREPARE, "-d", "5", "-np", "2", "--no_pbar", *dataset.flags))
    assert code == 2
    assert errors == (
        f"dd_plan_and_preprocess: error: case cell_1: its process {KILLED}; "
        "the largest case needs about 0.28 GB; use fewer processes (-np 1) or a machine with more memory\n"
    )
    assert f"warning: a process {KILLED}" in out


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_training_gets_the_same_batches_from_the_workers_that_are_left(tmp_path, caplog):
    source = BatchSource(BALLS[:4], make_setup(tmp_path / "prepared").reader.image, (8, 12, 16), 2, seed=5)
    alone = list(itertools.islice(iterate_batches(source, photometric(), 3, 0), 21))
    batches = iterate_batches(source, photometric(), 3, 2)
    got = [next(batches)]
    for _ in range(2):
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
        # more than the dead one can have left in its queue
        got += itertools.islice(batches, 10)
    batches.close()
    assert [batch["iteration"] for batch in got] == list(range(3, 24))
    for a, b in zip(alone, got, strict=True):
        assert np.array_equal(a["data"], b["data"])
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    first, second = caplog.messages
    assert first.startswith(f"warning: a background process {KILLED}; batches from ")
    assert first.endswith("are made by 1 of them") and second.endswith("are made by this process")
