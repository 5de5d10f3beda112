"""What the processes of the tests do; importable by name, as processes need it."""

import os
import signal

from dd_nnunet.core.errors import ManyErrors, UserError


def process_id(case):
    return os.getpid()


def upper(case):
    return case.case_id.upper()


def fail_on_b_and_d(case):
    if case.case_id == "d":
        raise ManyErrors([UserError("d_0000", "is bad"), UserError("d_0001", "is bad too")])
    if case.case_id == "b":
        raise UserError("b_0000", "is bad", "mend it")
    return case.case_id


def die_on_c(case):
    if case.case_id == "c":
        os.kill(os.getpid(), signal.SIGKILL)
    return case.case_id


def break_on_b(case):
    if case.case_id == "b":
        raise ZeroDivisionError("a fault of ours")
    return case.case_id


def run_out_of_memory(case):
    raise MemoryError


def die_on_c_once(case, marker):
    if case.case_id == "c" and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return case.case_id
