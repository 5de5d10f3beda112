"""Python run in a process of its own whose address space is limited."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent
# what a limit on the address space would also count: a memory arena and a stack for every thread
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
LIMIT = """
import resource
from pathlib import Path
here = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (here + {n_bytes}, resource.RLIM_INFINITY))
"""

WITHIN = """
import importlib, resource, sys
module, function, n_bytes, *arguments = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_AS, (int(n_bytes), int(n_bytes)))
sys.exit(getattr(importlib.import_module(f"dd_nnunet.commands.{module}"), function)(arguments))
"""


def run_within(n_gb, command, *arguments):
    """Run a command, e.g. "predict:main", with --max_ram and in as much address space, for each of its processes.

    Libraries count in address space: 0.65 GB more than they take of memory, and up to 0.07 GB for every thread.
    """
    limit = str(int(n_gb * 1024**3))
    flags = [*command.split(":"), limit, *map(str, arguments), "--max_ram", str(n_gb)]
    return _run([sys.executable, "-c", WITHIN, *flags])


def run_limited(setup, work, n_bytes):
    """Run `setup` (imports, what is there before), then `work` in `n_bytes` more than there are by then."""
    return _run([sys.executable, "-c", setup + LIMIT.format(n_bytes=int(n_bytes)) + work])


def _run(command):
    path = os.pathsep.join(map(str, [TESTS.parent, TESTS, TESTS / "faults"]))
    return subprocess.run(
        command, env={**os.environ, **ONE_THREAD, "PYTHONPATH": path}, capture_output=True, encoding="utf-8"
    )
