import multiprocessing
import os
import time

import pytest
import worker_functions

from dd_nnunet.core.dataset import CaseFiles
from dd_nnunet.core.errors import ManyErrors, UserError
from dd_nnunet.preprocessing.parallel import Workers, choose_n_processes, map_cases

CASES = [CaseFiles(name, ()) for name in "abcd"]
HERE, TWO = Workers(0), Workers(2, bytes_per_case=3e9)


def test_processes_are_bounded_by_wish_processors_and_memory():
    assert choose_n_processes(8, 4, 100e9, 1e9) == 4
    assert choose_n_processes(3, 4, 100e9, 1e9) == 3
    assert choose_n_processes(8, 4, 2.9e9, 1e9) == 2
    assert choose_n_processes(8, 4, 0.5e9, 1e9) == 1
    assert choose_n_processes(0, 4, 100e9, 1e9) == 0


@pytest.mark.parametrize("workers", [HERE, TWO])
def test_results_come_by_case_in_order(workers):
    seen = {}
    results = map_cases(worker_functions.upper, CASES, workers, "x", seen.__setitem__)
    assert list(results.items()) == [("a", "A"), ("b", "B"), ("c", "C"), ("d", "D")]
    assert seen == results


def test_the_work_is_done_in_other_processes_unless_0_are_wished():
    assert set(map_cases(worker_functions.process_id, CASES, HERE, "x").values()) == {os.getpid()}
    others = set(map_cases(worker_functions.process_id, CASES, TWO, "x").values())
    assert os.getpid() not in others and 1 <= len(others) <= 2


@pytest.mark.parametrize("workers", [HERE, TWO])
def test_all_bad_cases_are_named_and_the_good_ones_done(workers):
    done = []
    with pytest.raises(ManyErrors) as caught:
        map_cases(
            worker_functions.fail_on_b_and_d, CASES, workers, "x", lambda case_id, _: done.append(case_id)
        )
    assert caught.value.lines == ("b_0000: is bad; mend it", "d_0000: is bad", "d_0001: is bad too")
    assert sorted(done) == ["a", "c"]


def test_one_bad_case_is_one_error():
    with pytest.raises(UserError) as caught:
        map_cases(worker_functions.fail_on_b_and_d, CASES[:3], HERE, "x")
    assert not isinstance(caught.value, ManyErrors)


@pytest.mark.parametrize("workers", [HERE, TWO])
def test_a_fault_of_ours_names_the_case_and_leaves_no_process(workers):
    with pytest.raises(RuntimeError, match="case b: ZeroDivisionError: a fault of ours"):
        map_cases(worker_functions.break_on_b, CASES, workers, "x")
    # the pool's own thread collects them too, so that joining them here may return too early
    deadline = time.monotonic() + 5
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not multiprocessing.active_children()


def test_want_of_memory_is_no_fault_of_ours():
    with pytest.raises(UserError, match="case a: its process ran out of memory"):
        map_cases(worker_functions.run_out_of_memory, CASES[:1], HERE, "x")


def test_no_cases_need_no_process():
    assert map_cases(worker_functions.upper, [], TWO, "x") == {}
