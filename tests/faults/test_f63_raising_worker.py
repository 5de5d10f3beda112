"""F63: a worker raises: the last line names the case and the error, the worker's own traceback stands above it."""

import itertools
from functools import partial

import pytest
import workers_that_fail
from other_processes import end, start
from planned import make_faulty
from small_fold import CASES, make_setup
from small_volumes import cells

from dd_nnunet.training.batches import BatchSource, iterate_batches, photometric

PREPARE = """
import sys
import workers_that_fail
from dd_nnunet.commands import plan_and_preprocess
from dd_nnunet.preprocessing import dataset
dataset._measure = workers_that_fail.divide_by_zero_in_cell_1
sys.exit(plan_and_preprocess.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("flags", [("-np", "2"), ("-np", "2", "-v"), ("-np", "0")])
def test_the_last_line_names_case_and_error(tmp_path, flags):
    dataset = make_faulty(tmp_path, cells())
    code, _, errors = end(start(PREPARE, "-d", "5", "--no_pbar", *dataset.flags, *flags))
    lines = errors.splitlines()
    assert code == 1
    assert lines[-1] == "RuntimeError: case cell_1: ZeroDivisionError: a fault of ours"
    assert any("in divide_by_zero_in_cell_1" in line for line in lines)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_in_a_worker_of_training_reaches_the_training(tmp_path):
    load_case = partial(workers_that_fail.load_two_then_fail, make_setup(tmp_path / "prepared").reader.image)
    source = BatchSource(CASES[:4], load_case, (8, 12, 16), 1, seed=5)
    batches = iterate_batches(source, photometric(), 0, 2)
    with pytest.raises(ZeroDivisionError, match=r"a fault of ours in ball_[0-3]"):
        list(itertools.islice(batches, 20))
