"""F80: when the clock jumps or stands still, logs keep names of their own, and durations are right."""

import ast
import logging
import time
from pathlib import Path

import pytest

import dd_nnunet
from dd_nnunet.storage import run_folder
from dd_nnunet.storage.run_folder import open_run_folder

# names, starts, the date of a report, the age of a leftover file; never a duration
MAY_ASK_THE_CLOCK = {"storage/run_folder.py", "report/page.py", "storage/atomic.py"}
CLOCK = {
    ("time", "time"),
    ("time", "time_ns"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
}


def test_starts_in_one_second_have_logs_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "_timestamp", lambda: "2026_10_25_02_30_00")
    for number in range(3):
        with open_run_folder(tmp_path, {}) as run:
            run.logger.info("start %d", number)
    logs = sorted(tmp_path.glob("training_log_2026_10_25_02_30_00_*.txt"))
    assert len(logs) == 3
    said = [log.read_text(encoding="utf-8").splitlines() for log in logs]
    assert sorted(line.split()[-1] for (line,) in said) == ["0", "1", "2"]


def test_log_times_may_go_back_and_nothing_minds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_run_folder(tmp_path, {}) as run:
        run.append_log({"epoch": 0})
        monkeypatch.setattr(logging.time, "time", lambda: 0.0)
        run.logger.info("it is 1970")
        run.append_log({"epoch": 1})
    with open_run_folder(tmp_path, {}) as run:
        assert run.read_log() == [{"epoch": 0}, {"epoch": 1}]


def test_durations_come_from_the_monotonic_clock() -> None:
    """Only the modules that name files or say dates ask what time it is."""
    package = Path(dd_nnunet.__file__).parent
    asking = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                base = node.value
                owner = base.id if isinstance(base, ast.Name) else getattr(base, "attr", "")
                if (owner, node.attr) in CLOCK:
                    asking.add(path.relative_to(package).as_posix())
    assert asking == MAY_ASK_THE_CLOCK
    assert time.get_clock_info("monotonic").monotonic
