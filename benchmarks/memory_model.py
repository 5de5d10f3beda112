"""Predicted against measured peak memory of the two training steps, from 16³ to 96³.

    python benchmarks/memory_model.py                  # writes benchmarks/results/memory_model_cpu.json
    python benchmarks/memory_model.py --device cuda    # writes benchmarks/results/memory_model_cuda.json

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import RESULTS, machine, write_result
from torch.profiler import ProfilerActivity, profile

from dd_nnunet.core.plan import (
    ConfigurationPlan,
    DiffusionPlan,
    FeaturePlan,
    LevelPlan,
    NormalizationPlan,
    SegmenterPlan,
    Zyx,
)
from dd_nnunet.core.splits import Fold
from dd_nnunet.core.units import GB
from dd_nnunet.networks.device import choose_runtime
from dd_nnunet.planning.memory import UNetShape, diffusion_training_bytes, segmenter_training_bytes
from dd_nnunet.planning.networks import MAX_DIFFUSION_RESOLUTIONS, N_CONVS
from dd_nnunet.planning.topology import plan_topology
from dd_nnunet.preprocessing.pad import Box
from dd_nnunet.storage.run_folder import open_run_folder
from dd_nnunet.training.pretrain_diffusion import TrainingSetup, pretrain_diffusion
from dd_nnunet.training.train_segmenter import train_segmenter

ITERATIONS = 2
CASES = ("a", "b", "c")


@dataclass(frozen=True)
class Row:
    """One plan: patch, spacing, widths, batch sizes, channels of the volume, parts and number format.

    Args:
        n_parts: of a single level.
        nested: of several levels in one network, instead.
    """

    patch_zyx: Zyx
    diffusion_width: int
    segmenter_width: int
    diffusion_batch: int = 2
    segmenter_batch: int = 2
    n_channels: int = 1
    n_parts: int = 4
    precision: str = "bfloat16"
    spacing_zyx_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    nested: tuple[int, ...] = ()

    @property
    def levels(self) -> tuple[int, ...]:
        """Parts per level."""
        return self.nested or (self.n_parts,)


def cube(edge: int, *values: int, **more: Any) -> Row:
    """A row with a cubic patch."""
    return Row((edge, edge, edge), *values, **more)


ROWS = (
    cube(16, 16, 16, 4, 2),
    cube(16, 64, 32, 4, 2, precision="float32"),
    cube(24, 32, 32, 4, 4),
    cube(32, 16, 16, 4, 2),
    cube(32, 64, 32, 2, 2, n_parts=8),
    cube(32, 16, 16, 4, 2, precision="float32"),
    cube(40, 32, 32, 2, 2, n_channels=2),
    cube(48, 16, 16, 1, 2, n_parts=8),
    cube(48, 32, 32, 2, 2, precision="float32"),
    Row((16, 64, 64), 16, 16, 2, 2, spacing_zyx_mm=(4.0, 1.0, 1.0)),
    Row((72, 40, 48), 16, 16, 1, 2, n_parts=8),
    cube(64, 32, 32, 1, 2),
    cube(64, 16, 16, 2, 2, n_channels=4, precision="float32"),
    cube(80, 16, 16, 2, 2),
    cube(96, 16, 16, 1, 1, n_parts=8),
    cube(96, 32, 32, 1, 1),
    cube(32, 16, 16, 4, 2, precision="float32", nested=(2, 4, 8)),
    cube(56, 16, 16, 2, 1, precision="float32", nested=(2, 4, 8)),
    cube(64, 32, 32, 1, 2, precision="float32", nested=(2, 4, 8)),
)


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


def configuration_of(row: Row) -> ConfigurationPlan:
    """The row as a plan, its topology by the planner's rule."""
    topology = plan_topology(row.spacing_zyx_mm, row.patch_zyx)
    n = len(topology.kernel_sizes_zyx)
    n_diffusion = min(MAX_DIFFUSION_RESOLUTIONS, n)
    return ConfigurationPlan(
        spacing_zyx_mm=row.spacing_zyx_mm,
        median_shape_zyx=row.patch_zyx,
        patch_size_zyx=topology.patch_size_zyx,
        normalization=(NormalizationPlan("percentile", 0.5, 99.5),) * row.n_channels,
        precision=row.precision,  # type: ignore[arg-type]
        diffusion=DiffusionPlan(
            tuple(row.diffusion_width * 2**i for i in range(n_diffusion)),
            topology.strides_zyx[: n_diffusion - 1], topology.kernel_sizes_zyx[:n_diffusion],
            250, row.diffusion_batch, ITERATIONS, 1e-4, 0.99,
        ),
        features=FeaturePlan((50,), 1, "standardise", 32, "denoised"),
        segmenter=SegmenterPlan(
            tuple(min(320, row.segmenter_width * 2**i) for i in range(n)), ((1, 1, 1), *topology.strides_zyx),
            topology.kernel_sizes_zyx, N_CONVS, row.segmenter_batch, 2, ITERATIONS, 1, 1e-3, 1.0, 1.0, 1.0,
            True, (0.9, 1.1), 1.0, nested=bool(row.nested),
        ),
        levels=tuple(
            LevelPlan(number, n_parts, (min(2, n_diffusion),))
            for number, n_parts in enumerate(row.levels, start=1)
        ),
        gpu_memory_target_gb=1e3,
        estimated_gpu_memory_gb=0.0,
    )  # fmt: skip


def predicted_gb(row: Row, configuration: ConfigurationPlan, bytes_per_value: int) -> tuple[float, float]:
    """The planner's estimates of the diffusion step and of the segmenter step."""
    patch, diffusion, segmenter = (
        configuration.patch_size_zyx, configuration.diffusion, configuration.segmenter,
    )  # fmt: skip
    first = UNetShape(
        patch, diffusion.channels, diffusion.strides_zyx, diffusion.kernel_sizes_zyx, row.n_channels
    )
    second = UNetShape(
        patch,
        segmenter.features_per_stage,
        segmenter.strides_zyx[1:],
        segmenter.kernel_sizes_zyx,
        row.n_channels,
    )
    return (
        diffusion_training_bytes(first, row.diffusion_batch, bytes_per_value) / GB,
        segmenter_training_bytes(
            second, N_CONVS, sum(row.levels), row.segmenter_batch, bytes_per_value, bool(row.nested)
        )
        / GB,
    )


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
    parser.add_argument("--anew", action="store_true", help="measure rows again that the table has already")
    args = parser.parse_args()
    if args.row is not None:
        print(json.dumps(measure(ROWS[args.row], args.device)))
        return
    name = f"memory_model_{args.device}"
    before = [] if args.anew else kept_rows(RESULTS / f"{name}.json")
    about, rows = machine(args.device), []
    for number, row in enumerate(ROWS):
        plain = json.loads(json.dumps(row.__dict__))
        found = next((old for old in before if {key: old[key] for key in plain} == plain), None)
        rows.append(found or measured_row(number, args.device, about))
        print(shown(rows[-1]), flush=True)
    ratios = [row[step]["ratio"] for row in rows for step in ("diffusion_gb", "segmenter_gb")]
    result = {
        "command": f"python benchmarks/memory_model.py --device {args.device}",
        "rows": rows,
        "ratio_range": [min(ratios), max(ratios)],
    }
    write_result(name, result)


def kept_rows(path: Path) -> list[dict[str, Any]]:
    """What was measured before."""
    found: list[dict[str, Any]] = (
        json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    )
    return found


def measured_row(number: int, device: str, about: dict[str, object]) -> dict[str, Any]:
    """Measure a row in a process of its own, so that none finds memory that another left."""
    command = [sys.executable, __file__, "--device", device, "--row", str(number)]
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    seconds = round(time.perf_counter() - started, 1)
    return {**json.loads(done.stdout.splitlines()[-1]), "seconds": seconds, "machine": about}


def shown(row: dict[str, Any]) -> str:
    """A row for the screen."""
    steps = (row[step] for step in ("diffusion_gb", "segmenter_gb"))
    text = "  ".join(f"{s['predicted']:6.3f} / {s['measured']:6.3f} = {s['ratio']:4.2f}" for s in steps)
    return f"{row['patch_zyx']!s:14} {row['ran_in']:9} {text}"


if __name__ == "__main__":
    main()
