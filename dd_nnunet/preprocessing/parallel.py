"""One function over many cases, in processes, never more than one case per process at a time."""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any, Generic, NoReturn, TypeVar

from dd_nnunet.core.dataset import CaseFiles
from dd_nnunet.core.errors import DDError, DiskError, UserError, joined
from dd_nnunet.core.units import GB, counted
from dd_nnunet.storage.hardware import why_no_processes
from dd_nnunet.storage.progress_bar import progress_bar

_logger = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Workers:
    """How the work is spread.

    Args:
        n_processes: at once; 0 works in this process.
        bytes_per_case: estimated for the largest case, named when a process dies.
        show_progress: draw a bar.
    """

    n_processes: int
    bytes_per_case: float = 0.0
    show_progress: bool = False


def choose_n_processes(n_wished: int, n_cpus: int, ram_bytes: float, bytes_per_case: float) -> int:
    """As many processes as wished, but no more than processors and than largest cases fit the memory.

    At least one process works, however large the case; 0 wished works in this process.
    """
    n_fitting = int(ram_bytes // max(bytes_per_case, 1.0))
    return 0 if n_wished == 0 else max(1, min(n_wished, n_cpus, n_fitting))


def startable(n_processes: int) -> int:
    """The number of processes, or 0 with a warning where none can be started: the work is then done in this one."""
    reason = why_no_processes() if n_processes else None
    if reason is None:
        return n_processes
    _logger.warning("warning: %s; the work is done in this process, slower", reason)
    return 0


def how_they_ended(processes: Iterable[BaseProcess]) -> str:
    """How the first process that failed ended: "was killed by SIGKILL …", "ended with exit code 3"."""
    codes = [process.exitcode for process in processes if process.exitcode]
    # a pool that has lost one process ends the others with SIGTERM
    code = next((code for code in codes if code != -signal.SIGTERM), codes[0] if codes else None)
    if code is None:
        return "ended"
    if code > 0:
        return f"ended with exit code {code}"
    hint = ", as the system does when memory runs out" if code == -signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-code).name}{hint}"


def map_cases(
    function: Callable[[CaseFiles], Result],
    cases: Sequence[CaseFiles],
    workers: Workers,
    label: str,
    on_result: Callable[[str, Result], None] | None = None,
) -> dict[str, Result]:
    """Apply a function to every case and go on after errors, so that all bad cases are named at once.

    Args:
        function: called in other processes, so it has to be importable, or a partial of an importable one.
        cases: each is one call.
        workers: how many at once.
        label: of the progress bar.
        on_result: called here, with the case id and the result, as soon as a case is done.

    Returns:
        The results by case id, in the order of the cases.

    Raises:
        UserError: one case failed; `ManyErrors` if several did. The cases of a process that dies (killed
            for want of memory, say) are tried again with fewer processes; what still dies is named.
    """
    hidden = not (workers.show_progress and cases)
    with progress_bar(total=len(cases), desc=label, unit="case", disable=hidden) as bar:
        outcome = _Outcome[Result](workers, on_result, bar.update)
        if workers.n_processes == 0:
            for case in cases:
                outcome.settle(case, partial(function, case))
        else:
            _map_in_processes(function, cases, workers, outcome)
    return outcome.of(cases)


class _Outcome(Generic[Result]):
    """What has become of each case so far: its result or its error."""

    def __init__(
        self,
        workers: Workers,
        on_result: Callable[[str, Result], None] | None,
        on_settled: Callable[[], object],
    ) -> None:
        self._workers = workers
        self._on_result = on_result
        self._on_settled = on_settled
        self._results: dict[str, Result] = {}
        self._errors: dict[str, DDError] = {}

    def settle(self, case: CaseFiles, call: Callable[[], Result]) -> None:
        try:
            self._results[case.case_id] = _call(case, self._workers, call)
        except DiskError:
            # the other cases would not fit either
            raise
        except DDError as error:
            self._errors[case.case_id] = error
        else:
            if self._on_result is not None:
                self._on_result(case.case_id, self._results[case.case_id])
        self._on_settled()

    def unsettled(self, cases: Sequence[CaseFiles]) -> list[CaseFiles]:
        settled = self._results.keys() | self._errors.keys()
        return [case for case in cases if case.case_id not in settled]

    def of(self, cases: Sequence[CaseFiles]) -> dict[str, Result]:
        """The results in the order of the cases; raises their errors instead if there are any."""
        found = [self._errors[case.case_id] for case in cases if case.case_id in self._errors]
        if found:
            raise joined(found)
        return {case.case_id: self._results[case.case_id] for case in cases}


def _call(case: CaseFiles, workers: Workers, call: Callable[[], Result]) -> Result:
    try:
        return call()
    except (DDError, BrokenProcessPool):
        raise
    except MemoryError:
        raise _died(case, workers, "ran out of memory") from None
    except Exception as error:
        raise RuntimeError(f"case {case.case_id}: {type(error).__name__}: {error}") from error


def _map_in_processes(
    function: Callable[[CaseFiles], Result],
    cases: Sequence[CaseFiles],
    workers: Workers,
    outcome: _Outcome[Result],
) -> None:
    n_processes = min(workers.n_processes, len(cases))
    while cases:
        end = _run_pool(function, cases, n_processes, outcome)
        cases = outcome.unsettled(cases)
        if end is None:
            return
        if n_processes > 1:
            n_processes = min(n_processes // 2, len(cases))
            text = "warning: a process %s; %s; %s tried again, %d at once"
            again = counted(len(cases), "case", ("is", "are"))
            _logger.warning(text, end, _need(workers), again, n_processes)
        else:
            # a single process works in order, so the first one left is the one that died
            outcome.settle(cases[0], partial(_raise, _died(cases[0], workers, end)))
            cases = cases[1:]


def _run_pool(
    function: Callable[[CaseFiles], Result],
    cases: Sequence[CaseFiles],
    n_processes: int,
    outcome: _Outcome[Result],
) -> str | None:
    """Work until all cases are settled, or until a process dies; returns how it ended."""
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(n_processes, multiprocessing.get_context("spawn"), _start_quietly)
    processes: set[BaseProcess] = set()
    broken = False
    try:
        with no_interrupt():
            futures = {pool.submit(function, case): case for case in cases}
        processes = set(multiprocessing.active_children()) - others
        for future in as_completed(futures):
            try:
                outcome.settle(futures[future], future.result)
            except BrokenProcessPool:
                broken = True
    except BrokenProcessPool:  # before all cases were handed in
        broken = True
    except BaseException:
        # an interrupt, or a fault of ours: leave no process behind and do not wait for it
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
            process.join()
        raise
    pool.shutdown()
    return how_they_ended(processes) if broken else None


@contextlib.contextmanager
def no_interrupt() -> Iterator[None]:
    """Let Ctrl-C wait while processes are started, which begin with it blocked and so never see it."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    came: list[Any] = []
    # both: processes inherit what is blocked, and a thread of a library may take the signal for this one
    handler = signal.signal(signal.SIGINT, lambda *args: came.append(args))
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGINT, handler)
    if came:
        raise KeyboardInterrupt


def _start_quietly() -> None:
    # Ctrl-C reaches the parent, which ends its processes; what they would log comes back with the results
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    logging.getLogger("dd_nnunet").addHandler(logging.NullHandler())
    logging.getLogger("dd_nnunet").propagate = False


def end_with_parent() -> None:
    """Wait for the parent's end, and end this process: one that was killed leaves none behind."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _died(case: CaseFiles, workers: Workers, end: str) -> UserError:
    remedy = "use fewer processes (-np 1) or a machine with more memory"
    return UserError(f"case {case.case_id}", f"its process {end}; {_need(workers)}", remedy)


def _need(workers: Workers) -> str:
    return f"the largest case needs about {workers.bytes_per_case / GB:.2g} GB"


def _raise(error: Exception) -> NoReturn:
    raise error
