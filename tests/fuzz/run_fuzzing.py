"""Damage the inputs of every reader for as long as wanted, and print what happened as JSON.

python tests/fuzz/run_fuzzing.py --minutes 10

Every target runs in a process of its own, so that one that crashes or hangs is a failure and not the end. Exit code
1 if anything failed. `--seed` gives the same inputs again, as many as there is time for.
"""

import argparse
import faulthandler
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import hypothesis

HERE = Path(__file__).resolve().parent
# of the processor, so that a busy machine is no hang; and of the clock, for what only waits
CPU_SECONDS_PER_INPUT = 20
SECONDS_PER_INPUT = 300
EXAMPLES_PER_ROUND = 200
MOST_FAILURES = 20
PROGRESS = "progress.json"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of all targets together")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--targets", nargs="+", help="only these")
    parser.add_argument("--child", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    # the helper modules of the tests
    sys.path[:0] = [str(HERE.parent), str(HERE)]
    from targets import all_targets

    if args.child is not None:
        (name,) = args.targets
        sys.stdout.write(json.dumps(Fuzzing(all_targets()[name]).run(args.child, args.seed)))
        return 0
    names = args.targets or list(all_targets())
    started = time.monotonic()
    found = {name: fuzz_apart(name, 60 * args.minutes / len(names), args.seed) for name in names}
    n_failures = sum(len(result["failures"]) for result in found.values())
    report = {
        "seed": args.seed,
        "minutes": round((time.monotonic() - started) / 60, 2),
        "examples": sum(result["examples"] for result in found.values()),
        "failures": n_failures,
        "targets": found,
    }
    sys.stdout.write(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    return 1 if n_failures else 0


def fuzz_apart(name, seconds, seed):
    """Fuzz one target in processes; one that dies is a failure, with the input it died of, and another goes on."""
    total = {"examples": 0, "read": 0, "seconds": 0.0, "failures": []}
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and len(total["failures"]) < MOST_FAILURES:
        with tempfile.TemporaryDirectory() as folder:
            result = fuzz_in_child(name, left, seed + len(total["failures"]), Path(folder))
        for key, value in result.items():
            total[key] += value
    total["seconds"] = round(total["seconds"], 1)
    sys.stderr.write(f"{name}: {total['examples']} examples, {len(total['failures'])} failures\n")
    return total


def fuzz_in_child(name, seconds, seed, folder):
    """The result of one process; if it dies, the input that it died of lies in its folder."""
    command = [sys.executable, __file__, "--child", str(seconds), "--seed", str(seed), "--targets", name]
    # one thread and one heap, so that what an input takes of memory can be bounded closely
    more = {"TMPDIR": str(folder), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", check=False, env={**os.environ, **more}, cwd=folder
    )
    if done.returncode == 0:
        return json.loads(done.stdout)
    progress = folder / PROGRESS
    counts = json.loads(progress.read_text()) if progress.exists() else {}
    progress.unlink(missing_ok=True)
    files = {
        path.name: shown(path.read_bytes())
        for path in sorted(folder.rglob("a*.*"))
        if ".hypothesis" not in path.parts
    }
    failure = {"error": f"ended with {done.returncode}: {done.stderr[-3000:]}", "input": files}
    return {"examples": 0, "read": 0, "seconds": seconds, **counts, "failures": [failure]}


class Fuzzing:
    """One target's inputs, tried until time is over; failures of one place count once."""

    def __init__(self, target):
        self.target = target
        self.counts = Counter(examples=0, read=0)
        self.failures = {}
        self.last = {}
        self.started = time.monotonic()

    def run(self, seconds, seed):
        """Counts and shrunk failures."""
        logging.disable(logging.CRITICAL)
        n_rounds = 0
        while time.monotonic() < self.started + seconds and len(self.failures) < MOST_FAILURES:
            try:
                self.round(seed + 1000 * n_rounds)
            except Exception as error:
                key, inputs = key_of(error), {name: shown(value) for name, value in self.last.items()}
                self.failures[key] = {"error": str(error)[:1000], "place": list(key), "input": inputs}
            n_rounds += 1
        return {**self.progress(), "failures": list(self.failures.values())}

    def round(self, seed):
        """A few hundred inputs of one seed."""
        settings = hypothesis.settings(
            max_examples=EXAMPLES_PER_ROUND,
            database=None,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
            report_multiple_bugs=False,
        )
        hypothesis.seed(seed)(settings(hypothesis.given(self.target.inputs)(lambda files: self.one(files))))()

    def one(self, files):
        """One input; what it does that was seen before is passed over."""
        self.last = files
        self.counts["examples"] += 1
        Path(PROGRESS).write_text(json.dumps(self.progress()))
        faulthandler.dump_traceback_later(SECONDS_PER_INPUT, exit=True)
        # nobody handles its signal, so that it ends the process, within a library too
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS_PER_INPUT)
        with tempfile.TemporaryDirectory() as folder:
            try:
                self.counts["read"] += self.target.check(Path(folder), files)
            except Exception as error:
                if key_of(error) not in self.failures:
                    raise
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
                faulthandler.cancel_dump_traceback_later()

    def progress(self):
        """What was done so far."""
        return {**self.counts, "seconds": time.monotonic() - self.started}


def key_of(error):
    """Where an error came from."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "dd_nnunet/" in frame.filename or str(HERE) in frame.filename]
    return (type(error).__name__, ours[-1].filename, ours[-1].lineno)


def shown(value):
    """An input as it stands in a test."""
    return repr(value)


if __name__ == "__main__":
    sys.exit(main())
