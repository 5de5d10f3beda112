"""A training step of the diffusion U-Net: bfloat16 channels-last against plain float32 and plain bfloat16.

    python benchmarks/diffusion_step.py                  # writes benchmarks/results/diffusion_step.json
    python benchmarks/diffusion_step.py --preset fast    # writes benchmarks/results/step_formats.json
    python benchmarks/diffusion_step.py --device cuda    # writes benchmarks/results/diffusion_step_cuda.json

The same weights, volumes, noise and timesteps in every variant. On the CPU the paper's network (64 channels, 64³,
batch 1), or the steps that decision 0019 on preset fast rests on, one of a segmenter among them; on CUDA the paper's
and the one of preset standard (32 channels, 56³, batch 4), also compiled, with the rate of its floating-point
operations beside that of a large bfloat16 matrix product, and its peak memory beside the estimate.
"""

import argparse
import copy
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from measuring import machine, write_result
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dd_nnunet.core.noise_schedule import cosine_alphas_cumprod
from dd_nnunet.core.plan import DiffusionPlan, SegmenterPlan
from dd_nnunet.core.units import GB
from dd_nnunet.networks.diffusion_unet import DiffusionUNet
from dd_nnunet.networks.noising import add_noise
from dd_nnunet.networks.segmentation_unet import build_segmenter
from dd_nnunet.objectives.denoising import denoising_loss
from dd_nnunet.planning.memory import (
    MOVING_AVERAGE_BYTES,
    UNetShape,
    diffusion_training_bytes,
    n_parameters,
)
from dd_nnunet.planning.networks import N_CONVS

LEARNING_RATE = 1e-4
STRIDES, KERNELS = ((2, 2, 2),) * 3, ((3, 3, 3),) * 4
TIMESTEP, REPEATS = 50, {"cpu": 3, "cuda": 20}
MATRIX_EDGE = 8192
PLAIN, PLAIN_BF16, OURS = "float32 contiguous", "bfloat16 contiguous", "bfloat16 channels_last_3d"


@dataclass(frozen=True)
class Work:
    """A network and its batch.

    Args:
        channels: of the finest resolution.
        edge: of the volumes, in voxels.
        batch_size: volumes.
        n_parts: outputs of a segmenter, instead of the diffusion model.
    """

    channels: int
    edge: int
    batch_size: int
    n_parts: int | None = None

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of four resolutions, as the paper has them."""
        return tuple(self.channels * 2**i for i in range(4))

    @property
    def plan(self) -> DiffusionPlan:
        """Of the diffusion model."""
        return DiffusionPlan(self.widths, STRIDES, KERNELS, 250, self.batch_size, 1, LEARNING_RATE, 0.995)

    def network(self) -> nn.Module:
        """With new weights."""
        if self.n_parts is None:
            return DiffusionUNet(self.plan, 1)
        strides = ((1, 1, 1), *STRIDES)
        plan = SegmenterPlan(
            self.widths, strides, KERNELS, N_CONVS, self.batch_size, 1, 1, 0, LEARNING_RATE, 1.0, 1.0, 1.0, True,
            (0.9, 1.1),
        )  # fmt: skip
        return build_segmenter(plan, 1, self.n_parts)

    @property
    def name(self) -> str:
        """For people."""
        kind = "" if self.n_parts is None else f"segmenter of {self.n_parts} parts, "
        return f"{kind}{self.channels} channels, {self.edge}³, batch {self.batch_size}"

    def estimated_gb(self, bfloat16: bool) -> float | None:
        """What the planner estimates for a step, without the moving average, which is not kept here.

        None of a segmenter, whose step is estimated with its losses, which are left out here.
        """
        if self.n_parts is not None:
            return None
        shape = UNetShape((self.edge,) * 3, self.widths, STRIDES, KERNELS, 1)
        n_bytes = diffusion_training_bytes(shape, self.batch_size, 2 if bfloat16 else 4)
        return (n_bytes - MOVING_AVERAGE_BYTES * n_parameters(shape, n_convs=4)) / GB


@dataclass(frozen=True)
class Variant:
    """Number format and memory order of a step; whether it is compiled."""

    bfloat16: bool
    memory_format: torch.memory_format
    compiled: bool = False


VARIANTS = {
    PLAIN: Variant(False, torch.contiguous_format),
    "float32 channels_last_3d": Variant(False, torch.channels_last_3d),
    PLAIN_BF16: Variant(True, torch.contiguous_format),
    OURS: Variant(True, torch.channels_last_3d),
}
COMPILED = {f"{OURS}, compiled": Variant(True, torch.channels_last_3d, compiled=True)}
WORK = {"cpu": (Work(64, 64, 1),), "cuda": (Work(32, 56, 4), Work(64, 64, 1))}
# the table of decision 0019
OF_PRESET_FAST = (
    Work(16, 56, 1),
    Work(16, 56, 2),
    Work(16, 32, 1),
    Work(16, 32, 2),
    Work(16, 32, 4),
    Work(16, 56, 2, n_parts=2 + 4 + 8),
)


class Step:
    """One optimizer step of a copy of the network."""

    def __init__(self, network: nn.Module, variant: Variant, device: str, denoises: bool) -> None:
        self.network = copy.deepcopy(network).to(device, memory_format=variant.memory_format)  # type: ignore[call-overload]
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE)
        self.forward: Callable[..., Any] = torch.compile(self.network) if variant.compiled else self.network
        self.variant, self.device, self.denoises = variant, device, denoises

    def __call__(self, x0: Tensor, noise: Tensor) -> float:
        """Forward, backward and update; returns the loss before the update, when all is done."""
        loss = self._denoising(x0, noise) if self.denoises else self._size_of_outputs(x0)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def _denoising(self, x0: Tensor, noise: Tensor) -> Tensor:
        signal = torch.from_numpy(cosine_alphas_cumprod(250))[[TIMESTEP]]
        times = torch.full((len(x0),), TIMESTEP, device=self.device)
        prediction = self._output(add_noise(x0, noise, signal), times)
        return denoising_loss(prediction, x0.to(self.device)).mean()

    def _size_of_outputs(self, x0: Tensor) -> Tensor:
        """The least that can stand for a segmenter's losses, which take little of its time."""
        return self._output(x0).float().square().mean()

    def _output(self, volumes: Tensor, *more: Tensor) -> Tensor:
        placed = volumes.to(self.device, memory_format=self.variant.memory_format)
        with torch.autocast(self.device, torch.bfloat16) if self.variant.bfloat16 else nullcontext():
            output: Tensor = self.forward(placed, *more)
        return output


def measure(work: Work, variants: dict[str, Variant], device: str, repeats: int) -> dict[str, Any]:
    """All variants in turn, round by round, so that a slower machine slows them all."""
    torch.manual_seed(0)
    network, edges = work.network(), (work.edge,) * 3
    x0, noise = torch.rand(work.batch_size, 1, *edges) * 2 - 1, torch.randn(work.batch_size, 1, *edges)
    steps: dict[str, Step] = {}
    losses: dict[str, list[float]] = {}
    peaks: dict[str, float | None] = {}
    for name, variant in variants.items():
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() if device == "cuda" else 0
        steps[name] = Step(network, variant, device, denoises=work.n_parts is None)
        losses[name] = [steps[name](x0, noise)]
        # of the CPU's allocator memory_model.py tells
        peaks[name] = (torch.cuda.max_memory_allocated() - before) / GB if device == "cuda" else None
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            start = time.perf_counter()
            losses[name].append(step(x0, noise))
            seconds[name].append(time.perf_counter() - start)
    best = {name: min(values) for name, values in seconds.items()}
    operations = _operations(steps[PLAIN], x0, noise)
    return {
        "network": work.name,
        "parameters": sum(p.numel() for p in network.parameters()),
        "operations_per_step": operations,
        "seconds": seconds,
        "ratio_of_best": {name: best[PLAIN] / value for name, value in best.items()},
        "ratio_to_plain_bfloat16": {name: best[PLAIN_BF16] / value for name, value in best.items()},
        "tera_operations_per_second": {name: operations / value / 1e12 for name, value in best.items()},
        "volumes_per_second": {name: work.batch_size / value for name, value in best.items()},
        "peak_gb": peaks,
        "estimated_gb": {name: work.estimated_gb(variant.bfloat16) for name, variant in variants.items()},
        "losses": losses,
        "relative_difference_of_first_loss": abs(losses[OURS][0] - losses[PLAIN][0]) / losses[PLAIN][0],
    }


def _operations(step: Step, x0: Tensor, noise: Tensor) -> int:
    """Floating-point operations of convolutions and matrix products, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        step(x0, noise)
    return int(counter.get_total_flops())


def matrix_rate(device: str, edge: int) -> float:
    """Tera-operations per second of a bfloat16 product of two square matrices: best of ten."""
    first, second = (torch.randn(edge, edge, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        result = first @ second
        float(result[0, 0])  # waits until it is done
        best = min(best, time.perf_counter() - start)
    return 2 * edge**3 / best / 1e12


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--preset", choices=("fast",), help="the steps of that preset, on the CPU")
    args = parser.parse_args(argv)
    if args.preset and args.device != "cpu":
        parser.error("--preset goes with the CPU")
    torch.backends.cudnn.benchmark = True
    about = machine(args.device)
    name, result = step_formats() if args.preset else diffusion_steps(args.device)
    write_result(name, result | {"machine": about})


def step_formats() -> tuple[str, dict[str, Any]]:
    """Name and content of the table of preset fast."""
    found = [measure(work, VARIANTS, "cpu", REPEATS["cpu"]) for work in OF_PRESET_FAST]
    return "step_formats", {"command": "python benchmarks/diffusion_step.py --preset fast", "works": found}


def diffusion_steps(device: str) -> tuple[str, dict[str, Any]]:
    """Name and content of the table of a device."""
    variants = VARIANTS | (COMPILED if device == "cuda" else {})
    found = [measure(work, variants, device, REPEATS[device]) for work in WORK[device]]
    result: dict[str, Any] = {"command": f"python benchmarks/diffusion_step.py --device {device}"}
    if device == "cpu":
        return "diffusion_step", result | found[0]
    rate = matrix_rate(device, MATRIX_EDGE)
    return f"diffusion_step_{device}", result | {"works": found, "matrix_rate": rate}


if __name__ == "__main__":
    main()
