"""Wall time and peak memory of measuring, planning and preparing a dataset, step by step.

    python benchmarks/planning_time.py --raw RAW -d 903 --huge 512     # writes benchmarks/results/planning_time.json

Each step is the real command in a process of its own; beside them stands what the planner alone takes, once all is
imported. `-d` names datasets below RAW; `--huge` adds one made on the
spot: a ball of balls in noise, of so many voxels an edge, float32.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measuring import machine, write_result

from dd_nnunet.core.case import Geometry
from dd_nnunet.core.fingerprint import DatasetFingerprint
from dd_nnunet.planning.fingerprinting import MEASUREMENT_VERSION
from dd_nnunet.planning.plan_dataset import plan_dataset
from dd_nnunet.planning.presets import Budget
from dd_nnunet.storage.atomic import read_record, write_json
from dd_nnunet.storage.raw_dataset import load_description
from dd_nnunet.storage.volume import write_image
from dd_nnunet.storage.workspace import DatasetFolders, Workspace

STEPS = {
    "dd_extract_fingerprint": ("main_fingerprint", ["-np", "{np}", "--max_ram", "{max_ram}"]),
    "dd_plan_experiment": ("main_plan", ["--preset", "fast"]),
    "dd_preprocess": ("main_preprocess", ["-np", "{np}", "--max_ram", "{max_ram}"]),
}
PROGRAM = (
    "import sys; from dd_nnunet.commands.plan_and_preprocess import {} as main; sys.exit(main(sys.argv[1:]))"
)
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
HUGE = "Dataset998_Huge"
REPEATS = 5
STRAIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def main() -> None:
    """Measure every step of every dataset."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--raw", type=Path, help="raw datasets")
    parser.add_argument("-d", nargs="*", default=[], metavar="ID", help="datasets below RAW")
    parser.add_argument("--huge", type=int, metavar="EDGE", help="voxels of the made volume")
    parser.add_argument("-np", type=int, default=2, help="processes")
    parser.add_argument("--max_ram", type=float, default=6.0, metavar="GB")
    args = parser.parse_args()
    about, found = machine(), {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for name in args.d:
            found[name] = measure(name, args.raw, work, args)
        if args.huge:
            make_huge(work / "raw" / HUGE, args.huge)
            found[f"one volume of {args.huge}^3 float32"] = measure("998", work / "raw", work, args)
    # where the raw datasets lie is nobody else's affair
    words = ["RAW" if word == str(args.raw) else word for word in sys.argv[1:]]
    result = {"command": f"python benchmarks/planning_time.py {' '.join(words)}", "datasets": found}
    how = {"processes": args.np, "max_ram_gb": args.max_ram, "measurement_version": MEASUREMENT_VERSION}
    write_result("planning_time", {**result, **how, "machine": about})


def measure(dataset: str, raw: Path, work: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each step, and the peak of the largest of its processes."""
    places = ["--raw", raw, "--preprocessed", work / "preprocessed", "--results", work / "results"]
    rows = {}
    for step, (function, flags) in STEPS.items():
        flags = [flag.format(np=args.np, max_ram=args.max_ram) for flag in flags]
        command = [sys.executable, "-c", PROGRAM.format(function), "-d", dataset, *flags, *map(str, places)]
        started = time.perf_counter()
        # a process starts with the peak of the one that it was forked from: a small one stands between
        done = subprocess.run(
            [sys.executable, "-c", PEAK, *command, "--no_pbar", "-q"], stdout=subprocess.PIPE, check=True
        )
        seconds = time.perf_counter() - started
        rows[step] = {"seconds": round(seconds, 2), "peak_gb": round(int(done.stdout) * 1024 / 1e9, 3)}
    folders = Workspace(raw, work / "preprocessed", work / "results").dataset(dataset)
    rows["the planner alone"] = {"milliseconds": planner_milliseconds(folders)}
    return rows


def planner_milliseconds(folders: DatasetFolders) -> float:
    """From a fingerprint in memory to a plan in memory, the fastest of some times."""
    fingerprint = read_record(DatasetFingerprint, folders.fingerprint_json)
    description, seconds = load_description(folders), []
    for _ in range(REPEATS):
        started = time.perf_counter()
        plan_dataset(folders.name, fingerprint, description, Budget(preset="fast"))
        seconds.append(time.perf_counter() - started)
    return round(1000 * min(seconds), 2)


def make_huge(raw: Path, edge: int) -> None:
    """One case, slab by slab: a ball of radius 0.4 edges, balls of 1/16 in it, noise of a tenth of the contrast."""
    rng = np.random.default_rng(0)
    centres = rng.uniform(0.3, 0.7, (20, 3)) * edge
    volume = np.empty((edge, edge, edge), dtype=np.float32)
    y, x = np.indices((edge, edge), dtype=np.float32)
    for z in range(edge):
        plane = volume[z]
        plane[...] = rng.standard_normal((edge, edge), dtype=np.float32) * 10
        plane += 100 * ((z - edge / 2) ** 2 + (y - edge / 2) ** 2 + (x - edge / 2) ** 2 < (0.4 * edge) ** 2)
        for centre in centres:
            plane += 50 * (
                (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < (edge / 16) ** 2
            )
    geometry = Geometry((edge,) * 3, (1.0,) * 3, (0.0,) * 3, STRAIGHT)
    # uncompressed, so that unpacking is not what is measured
    write_image(raw / "imagesTr" / "huge_0000.mha", volume, geometry)
    write_json(
        raw / "dataset.json", {"channel_names": {"0": "light"}, "numTraining": 1, "file_ending": ".mha"}
    )


if __name__ == "__main__":
    main()
