"""When a run ends early: SIGTERM, SIGUSR1, or the end of its time. Asked once per step of work."""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from dd_nnunet.core.errors import StoppedError

# what schedulers send before they kill; Windows has no SIGUSR1
SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))


class StopRequest:
    """Whether the run is asked to end.

    Time is up when another step as long as the longest one so far would end too late.

    Args:
        max_seconds: what the run may take from now on, above 0.
    """

    def __init__(self, max_seconds: float = math.inf) -> None:
        self._last_asked = time.monotonic()
        self._deadline = self._last_asked + max_seconds
        self._longest_step = 0.0
        self._signal = ""

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGTERM and SIGUSR1 as requests; what they did before comes back afterwards."""
        if threading.current_thread() is not threading.main_thread():
            # only the main thread may say what a signal does
            yield
            return
        before = {number: signal.signal(number, self._remember) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def begin_steps(self) -> None:
        """Say that steps of another kind begin: what went before tells nothing about how long they take."""
        self._last_asked = time.monotonic()
        self._longest_step = 0.0

    def reason(self) -> str:
        """Why to end now, in words; empty to go on. Called once per step, whose length it notes."""
        now = time.monotonic()
        self._longest_step = max(self._longest_step, now - self._last_asked)
        self._last_asked = now
        if self._signal:
            return f"stopped by {self._signal}"
        return "stopped because its time is up" if now + self._longest_step > self._deadline else ""

    def check_signals(self, where: object) -> None:
        """End here if a signal asks for it: before work is done that is not saved by itself.

        Raises:
            StoppedError: a signal came.
        """
        if self._signal:
            raise stopped(where, f"stopped by {self._signal}")

    def check(self, where: object) -> None:
        """End here, between two steps of work that are saved by themselves.

        Raises:
            StoppedError: the run is asked to end.
        """
        if reason := self.reason():
            raise stopped(where, reason)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self._signal = signal.Signals(number).name


def stopped(where: object, reason: str) -> StoppedError:
    """The error that ends a run early."""
    return StoppedError(where, reason, "the same command continues")
