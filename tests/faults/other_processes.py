"""Programs that run in processes of their own, with the package and these tests on their path."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def start(program, *arguments):
    """Start a Python program; its texts come through pipes."""
    path = os.pathsep.join(map(str, (TESTS.parent, TESTS, TESTS / "faults")))
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


def wait_for(process, text):
    """Read what the process says until a line holds the text; returns that line."""
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"it ended without {text!r}: {process.stderr.read()}")


def end(process):
    """Let the process go on to its end; returns exit code, output and errors."""
    out, errors = process.communicate(timeout=60)
    return process.returncode, out, errors
