"""Damage the inputs of every reader for as long as wanted, and print what happened as JSON.

python tests/fuzz/run_fuzzing.py --minutes 10

Every target runs in a process of its own, so that one that crashes or hangs is a failure and not the end. Exit code
1 if anything failed. The seed printed gives the same inputs again (`--seed`), as long as the speed is the same.
"""

import argparse
import base64
import faulthandler
import json
import secrets
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECONDS_PER_INPUT = 20
EXAMPLES_PER_ROUND = 200
MOST_FAILURES = 20


def main() -> int:
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
    if args.child is not None:
        sys.stdout.write(json.dumps(fuzz(args.targets[0], args.child, args.seed)))
        return 0
    from targets import all_targets

    names = args.targets or list(all_targets())
    started = time.monotonic()
    found = {name: in_a_process(name, 60 * args.minutes / len(names), args.seed) for name in names}
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


def in_a_process(name, seconds, seed):
    """Fuzz one target; a process that dies is a failure too, with the input it died of."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--child", str(seconds), "--seed", str(seed), "--targets", name]
        # inputs lie in the folder for temporary files, and stay there if the process dies
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=environment(folder),
            timeout=seconds * 3 + 600,
        )
        if done.returncode == 0:
            return json.loads(done.stdout)
        left = {
            str(path.relative_to(folder)): base64.b64encode(path.read_bytes()).decode()
            for path in sorted(Path(folder).rglob("*"))
            if path.is_file()
        }
        failure = {"error": f"the process ended with {done.returncode}: {done.stderr[-3000:]}", "input": left}
        return {"examples": 0, "read": 0, "seconds": None, "failures": [failure]}


def environment(folder):
    """This one's, with one thread, one heap, and the folder for temporary files."""
    import os

    return {**os.environ, "TMPDIR": folder, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


def fuzz(name, seconds, seed):
    """Damage inputs of a target until time is over; counts, and failures that differ, each shrunk."""
    import logging

    import hypothesis
    import SimpleITK
    from targets import all_targets

    logging.disable(logging.CRITICAL)
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    target, counts, failures = all_targets()[name], Counter(), {}
    end = time.monotonic() + seconds
    started, n_rounds = time.monotonic(), 0
    while time.monotonic() < end and len(failures) < MOST_FAILURES:
        last = {}

        @hypothesis.seed(seed + n_rounds)
        @hypothesis.settings(
            max_examples=EXAMPLES_PER_ROUND,
            database=None,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
            report_multiple_bugs=False,
        )
        @hypothesis.given(target.inputs)
        def one(files, last=last):
            last["files"] = files
            counts["examples"] += 1
            faulthandler.dump_traceback_later(SECONDS_PER_INPUT, exit=True)
            with tempfile.TemporaryDirectory() as folder:
                try:
                    counts["read"] += target.check(Path(folder), files)
                except Exception as error:
                    # seen already: go on and look for another
                    if key_of(error) not in failures:
                        raise
                finally:
                    faulthandler.cancel_dump_traceback_later()

        try:
            one()
        except Exception as error:
            failures[key_of(error)] = {
                "error": "".join(traceback.format_exception(error)[-6:])[-3000:],
                "input": {key: shown(value) for key, value in last["files"].items()},
            }
        n_rounds += 1
    taken = round(time.monotonic() - started, 1)
    return {
        **{key: counts[key] for key in ("examples", "read")},
        "seconds": taken,
        "failures": list(failures.values()),
    }


def key_of(error):
    """Where an error came from: failures of one place count once."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "dd_nnunet" in frame.filename or str(HERE) in frame.filename]
    return (type(error).__name__, ours[-1].filename, ours[-1].lineno)


def shown(value):
    """An input as text that can be made into a test."""
    return (
        repr(value) if not isinstance(value, bytes) or len(value) < 3000 else base64.b64encode(value).decode()
    )


if __name__ == "__main__":
    sys.exit(main())
