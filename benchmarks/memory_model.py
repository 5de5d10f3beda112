"""Predicted against measured peak memory of the two training steps, from 16³ to 96³.

    python benchmarks/memory_model.py                  # writes benchmarks/results/memory_model_cpu.json
    python benchmarks/memory_model.py --device cuda    # writes benchmarks/results/memory_model_cuda.json

What was measured before is kept, with the estimates of today: without new rows in memory_rows.py it takes a second.

Each row runs the real trainers, `pretrain_diffusion` and `train_segmenter`, for two iterations on random volumes of
the size of a patch, each in a process of its own. On the CPU the peak is summed from the allocator's events, which
torch's profiler records; on CUDA it is `max_memory_allocated`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import RESULTS, machine, write_result
from memory_rows import ROWS, STEPS, Row, configuration_of, estimated, predicted_gb
from torch.profiler import ProfilerActivity, profile

from dd_nnunet.core.splits import Fold
from dd_nnunet.core.units import GB
from dd_nnunet.networks.device import choose_runtime
from dd_nnunet.preprocessing.pad import Box
from dd_nnunet.storage.run_folder import open_run_folder
from dd_nnunet.training.pretrain_diffusion import TrainingSetup, pretrain_diffusion
from dd_nnunet.training.train_segmenter import train_segmenter

CASES = ("a", "b", "c")


class RandomCases:
    """Stands for the prepared cases: random volumes of the size of a patch."""

    def __init__(self, row: Row) -> None:
        random = np.random.default_rng(0)
        shape = (row.n_channels, *row.patch_zyx)
        self._images = {case: random.random(shape, dtype=np.float32) for case in CASES}
        self._box: Box = (slice(0, shape[1]), slice(0, shape[2]), slice(0, shape[3]))

    def image(self, case_id: str) -> Any:
        """[C,Z,Y,X] in [0,1]."""
        return self._images[case_id]

    def diffusion_image(self, case_id: str) -> Any:
        """The same: nothing is resized."""
        return self._images[case_id]

    def box(self, case_id: str) -> Box:
        """The whole volume."""
        return self._box


class RandomFeatures:
    """Stands for the feature cache: 32 random components in every stage."""

    def __init__(self, setup: TrainingSetup) -> None:
        self.setup = setup

    def features(self, case_id: str, stage: int) -> Any:
        """[p,z,y,x]."""
        reduction = self.setup.configuration.diffusion.stage_reduction_zyx(stage)
        patch = self.setup.configuration.patch_size_zyx
        cells = [n // r for n, r in zip(patch, reduction, strict=True)]
        return np.random.default_rng(1).random((32, *cells), dtype=np.float32)

    def visual_target(self, case_id: str) -> Any:
        """[C,Z,Y,X]."""
        return self.setup.reader.image(case_id)


def measured_gb(work: Callable[[], object], device: str) -> float:
    """Peak of what torch's allocator held while `work` ran."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        work()
        return float(torch.cuda.max_memory_allocated()) / GB
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]  # type: ignore[union-attr]
    changes = np.array([e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())])
    return float(np.cumsum(changes).max()) / GB


def measure(row: Row, device: str) -> dict[str, Any]:
    """Both steps of one row."""
    configuration = configuration_of(row)
    runtime = choose_runtime(device, row.precision)
    # as dd_train does: cuDNN tries its algorithms, and some of them want more room
    torch.backends.cudnn.benchmark = True
    setup = TrainingSetup(
        configuration, Fold(CASES[:2], CASES[2:]), RandomCases(row), runtime, 0, 0, False  # type: ignore[arg-type]
    )  # fmt: skip
    predicted = predicted_gb(row, configuration, 2 if runtime.bfloat16 else 4)
    with tempfile.TemporaryDirectory() as folder:
        with open_run_folder(Path(folder) / "diffusion", {}) as run:
            diffusion = measured_gb(lambda: pretrain_diffusion(setup, run), device)
        with open_run_folder(Path(folder) / "level1", {}) as run:
            cache: Any = RandomFeatures(setup)
            segmenter = measured_gb(
                lambda: train_segmenter(setup, configuration.groups[0], cache, run), device
            )
    return {
        **row.__dict__,
        "ran_in": "bfloat16" if runtime.bfloat16 else "float32",
        "diffusion_gb": {"predicted": predicted[0], "measured": diffusion, "ratio": predicted[0] / diffusion},
        "segmenter_gb": {"predicted": predicted[1], "measured": segmenter, "ratio": predicted[1] / segmenter},
    }


def main() -> None:
    """Measure every row and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--row", type=int, help="only this one, as JSON on stdout")
    parser.add_argument("--anew", action="store_true", help="measure again what can be measured here")
    args = parser.parse_args()
    if args.row is not None:
        print(json.dumps(measure(ROWS[args.row], args.device)))
        return
    name = f"memory_model_{args.device}"
    before = kept_rows(RESULTS / f"{name}.json")
    if args.anew:
        before = not_measurable(before, args.device)
    about, rows = machine(args.device), []
    for number, row in enumerate(ROWS):
        plain = json.loads(json.dumps(row.__dict__))
        found = next((old for old in before if {key: old.get(key) for key in plain} == plain), None)
        rows.append(found or measured_row(number, args.device, about))
        print(shown(rows[-1]), flush=True)
    ratios = [row[step]["ratio"] for row in rows for step in STEPS]
    result = {
        "command": f"python benchmarks/memory_model.py --device {args.device}",
        "rows": rows,
        "ratio_range": [min(ratios), max(ratios)],
    }
    write_result(name, result)


def kept_rows(path: Path) -> list[dict[str, Any]]:
    """What was measured before, beside the estimates of today."""
    found = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    return [estimated(row) for row in found]


def not_measurable(rows: list[dict[str, Any]], device: str) -> list[dict[str, Any]]:
    """Those in bfloat16, where this machine would take float32 in its place."""
    if choose_runtime(device, "bfloat16").bfloat16:
        return []
    return [row for row in rows if row["ran_in"] == "bfloat16"]


def measured_row(number: int, device: str, about: dict[str, object]) -> dict[str, Any]:
    """Measure a row in a process of its own, so that none finds memory that another left."""
    command = [sys.executable, __file__, "--device", device, "--row", str(number)]
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    seconds = round(time.perf_counter() - started, 1)
    return {**json.loads(done.stdout.splitlines()[-1]), "seconds": seconds, "machine": about}


def shown(row: dict[str, Any]) -> str:
    """A row for the screen."""
    steps = (row[step] for step in STEPS)
    text = "  ".join(f"{s['predicted']:6.3f} / {s['measured']:6.3f} = {s['ratio']:4.2f}" for s in steps)
    return f"{row['patch_zyx']!s:14} {row['ran_in']:9} {text}"


if __name__ == "__main__":
    main()
