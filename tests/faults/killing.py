"""Kill a command at its write points, give the same command again, and read what it leaves.

Files are written beside their place, so that only renaming and removing them, and making folders, changes what a
killed process leaves: the write points are the moments before and after each of these (syncing does not matter to a
kill). Run as a script this file is the process that does it: it imports the commands once and forks for every run.
"""

import importlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

# files of a single start, and generations that a repeated save adds
OF_ONE_START = re.compile(r"^\.|^training_log_|\.previous$|\.sha256$|^progress\.png$")
MADE_ON = re.compile(rb"\d\d \w+ \d{4}, \d\d:\d\d")


def kill_and_repeat(
    start: Path, scratch: Path, command: str, flags: Sequence[str], sample: int | None = None
) -> tuple[Path, list[Path]]:
    """Run a command whole, then killed at its 1st, 2nd, … write point and given again.

    Args:
        start: a folder; each run gets a copy of it, always at scratch/run, as paths may stand in results.
        scratch: gets the folders of all runs.
        command: module and function, e.g. "train:main".
        flags: with {root} for the copy.
        sample: only so many write points, evenly spread; None = all.

    Returns:
        What the uninterrupted run left, and what each killed and repeated one left.
    """
    arguments = [str(start), str(scratch), command, str(sample or 0), *flags]
    scratch.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, __file__, *arguments], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    killed = sorted(scratch.glob("killed_*"))
    assert killed
    return scratch / "whole", killed


def contents(root: Path) -> dict[str, object]:
    """What the files below hold, by name; without times, and without what belongs to one start only."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {
        str(path.relative_to(root)): _content(path) for path in files if not OF_ONE_START.search(path.name)
    }


def different(one: Path, other: Path) -> list[str]:
    """The names of the files that differ or are missing in one of them."""
    a, b = contents(one), contents(other)
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def _content(path: Path) -> object:
    data = path.read_bytes()
    if path.name == "debug.json":
        return json.loads(data)["identity"]
    if path.name == "log.jsonl":
        return [_timeless(json.loads(line)) for line in data.splitlines()]
    if path.suffix == ".json":
        return _timeless(json.loads(data))
    if path.name == "checkpoint_latest.pth":
        return _timeless(torch.load(path, weights_only=True))
    return MADE_ON.sub(b"", data) if path.suffix == ".html" else data


def _timeless(data: object) -> object:
    if isinstance(data, dict):
        return {key: _timeless(value) for key, value in data.items() if key != "seconds"}
    if isinstance(data, torch.Tensor):
        return data.dtype, tuple(data.shape), data.numpy().tobytes()
    return [_timeless(item) for item in data] if isinstance(data, list) else data


class WritePoints:
    """Counts this process's write points and kills it at one of them."""

    def __init__(self, kill_at: int = 0) -> None:
        self.kill_at = kill_at
        self.reached = 0

    def watch(self) -> None:
        for name in ("replace", "rename", "unlink", "rmdir", "mkdir"):
            setattr(os, name, self._watched(getattr(os, name), makes=name == "mkdir"))

    def _watched(self, function, makes):
        def watched(path, *args, **kwargs):
            # rmtree names what it removes within an open folder
            if kwargs.get("dir_fd") is None and os.path.lexists(path) == makes:
                return function(path, *args, **kwargs)
            self._reach()
            result = function(path, *args, **kwargs)
            self._reach()
            return result

        return watched

    def _reach(self) -> None:
        self.reached += 1
        if self.reached == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def forked(body: Callable[[], object], kill_at: int = 0, largest_file: int | None = None) -> tuple[int, int]:
    """Call a function in a child process that ends with it, or is killed.

    Args:
        body: may return an exit code.
        kill_at: the write point at which the child kills itself; 0 = none.
        largest_file: the child is killed by the system as soon as a file grows beyond this many bytes.

    Returns:
        The exit code, negative for a signal, and the number of write points where it ended by itself.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if largest_file is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
            points = WritePoints(kill_at)
            points.watch()
            code = int(body() or 0)
            os.write(writing, str(points.reached).encode())
        finally:
            os._exit(code)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading) as stream:
        return os.waitstatus_to_exitcode(status), int(stream.read() or 0)


def _main(start: str, scratch: str, command: str, sample: str, *flags: str) -> None:
    root, place = Path(scratch), Path(scratch) / "run"
    module, function = command.split(":")
    body = partial(getattr(importlib.import_module(f"dd_nnunet.commands.{module}"), function),
                   [flag.format(root=place) for flag in flags])  # fmt: skip
    for heavy in ("SimpleITK", "batchgenerators", "matplotlib.figure", "scipy.ndimage"):
        importlib.import_module(heavy)
    shutil.copytree(start, place)
    code, n_points = forked(body)
    assert code == 0 and n_points > 0, (code, n_points)
    place.rename(root / "whole")
    step = max(n_points // int(sample), 1) if int(sample) else 1
    # a sample lies in the middle of equal shares; the last point alone has nothing left to lose
    for point in range((step + 1) // 2, n_points + 1, step):
        shutil.copytree(start, place)
        code, _ = forked(body, kill_at=point)
        assert code == -signal.SIGKILL, (point, code)
        code, _ = forked(body)
        assert code == 0, (point, code)
        place.rename(root / f"killed_{point:04d}")


if __name__ == "__main__":
    _main(*sys.argv[1:])
