"""Run the fault tests and record what was green and how long it took: the states of the page of promises.

    python benchmarks/fault_suite.py            # quick tests; writes results/fault_suite.json
    python benchmarks/fault_suite.py --slow     # the slow ones too

Afterwards `python documentation/reference/generate_promises.py` writes the page anew.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path

from measuring import machine, write_result

ROOT = Path(__file__).parent.parent


def outcomes(report: Path) -> dict[str, dict[str, int]]:
    """How often each test file passed, failed and was skipped, from pytest's JUnit report."""
    files: dict[str, dict[str, int]] = {}
    for case in ET.parse(report).iter("testcase"):
        name = case.attrib["classname"].split(".")[-1] + ".py"
        counts = files.setdefault(name, {"passed": 0, "failed": 0, "skipped": 0})
        kinds = {child.tag for child in case}
        state = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        counts[state] += 1
    return dict(sorted(files.items()))


def main() -> None:
    """Run, count, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--slow", action="store_true", help="the slow tests too")
    args = parser.parse_args()
    about = machine()
    marker = "not gpu" if args.slow else "not slow and not gpu"
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        started = time.perf_counter()
        command = [sys.executable, "-m", "pytest", "tests/faults", "-q", "-m", marker, f"--junitxml={report}"]
        subprocess.run(command, cwd=ROOT, check=False)
        seconds = time.perf_counter() - started
        files = outcomes(report)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, check=True, capture_output=True, encoding="utf-8"
    )
    total = {
        state: sum(counts[state] for counts in files.values()) for state in ("passed", "failed", "skipped")
    }
    write_result(
        "fault_suite",
        {
            "command": f"python benchmarks/fault_suite.py{' --slow' if args.slow else ''}",
            "commit": commit.stdout.strip(),
            "slow_tests_too": args.slow,
            "seconds": round(seconds, 1),
            **total,
            "files": files,
            "machine": about,
        },
    )


if __name__ == "__main__":
    main()
