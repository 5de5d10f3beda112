"""What the processes of dd_plan_and_preprocess do in these tests; importable by name, as processes need it."""

import os
import signal


def die_of_cell_1(case, reading, with_hashes):
    if case.case_id == "cell_1":
        os.kill(os.getpid(), signal.SIGKILL)


def divide_by_zero_in_cell_1(case, reading, with_hashes):
    if case.case_id == "cell_1":
        raise ZeroDivisionError("a fault of ours")


def load_two_then_fail(load_case, case_id, loaded=[]):  # noqa: B006 - counts per process
    loaded.append(case_id)
    if len(loaded) > 2:
        raise ZeroDivisionError(f"a fault of ours in {case_id}")
    return load_case(case_id)
