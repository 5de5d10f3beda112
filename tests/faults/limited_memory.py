"""Python run in a process of its own whose address space may grow by so many bytes and no more."""

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


def run_limited(setup, work, n_bytes):
    """Run `setup` (imports, what is there before), then `work` in `n_bytes` more than there are by then."""
    folders = [TESTS.parent, TESTS, TESTS / "faults"]
    path = os.pathsep.join(map(str, folders))
    script = setup + LIMIT.format(n_bytes=int(n_bytes)) + work
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **ONE_THREAD, "PYTHONPATH": path},
        capture_output=True,
        encoding="utf-8",
    )
