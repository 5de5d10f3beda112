"""Asked to stop, by hand: what signals and clocks do."""

import math
import os
import signal
import threading

import pytest

from dd_nnunet.core.errors import StoppedError
from dd_nnunet.training import stopping
from dd_nnunet.training.stopping import SIGNALS, StopRequest


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(stopping, "time", clock)
    return clock


def test_nobody_asked(clock: Clock) -> None:
    stop = StopRequest()
    clock.now = math.inf
    assert stop.reason() == ""
    stop.check("here")


def test_time_is_up_before_a_step_that_would_end_too_late(clock: Clock) -> None:
    stop = StopRequest(max_seconds=60)
    for seconds, reason in ((110, ""), (125, ""), (140, "stopped because its time is up")):
        clock.now = seconds  # steps of 10, 15 and 15 seconds: the next could end at 155 and may until 160
        if seconds == 140:
            assert stop.reason() == ""
            clock.now = 146  # 146 + 15 > 160
        assert stop.reason() == reason


@pytest.mark.parametrize("number", SIGNALS)
def test_signals_are_remembered_only_while_listening(number: signal.Signals) -> None:
    stop = StopRequest()
    before = [signal.getsignal(n) for n in SIGNALS]
    with stop.listening():
        assert stop.reason() == ""
        os.kill(os.getpid(), number)
        assert stop.reason() == f"stopped by {number.name}"
        with pytest.raises(StoppedError) as caught:
            stop.check("there")
    assert caught.value.line == f"there: stopped by {number.name}; the same command continues"
    assert caught.value.exit_code == 75
    assert [signal.getsignal(n) for n in SIGNALS] == before


def test_outside_of_the_main_thread_nobody_listens() -> None:
    stop = StopRequest()
    reasons = []

    def work() -> None:
        with stop.listening():
            reasons.append(stop.reason())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert reasons == [""]
