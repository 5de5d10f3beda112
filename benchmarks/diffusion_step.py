"""A training step of the diffusion U-Net: bfloat16 channels-last against plain float32 and plain bfloat16.

    python benchmarks/diffusion_step.py                  # writes benchmarks/results/diffusion_step.json
    python benchmarks/diffusion_step.py --device cuda    # writes benchmarks/results/diffusion_step_cuda.json

The same weights, volumes, noise and timesteps in every variant. On the CPU the paper's network (64 channels, 64³,
batch 1); on CUDA that and the one of preset standard (32 channels, 56³, batch 4), also compiled, with the rate of its
floating-point operations beside that of a large bfloat16 matrix product, and its peak memory beside the estimate.
"""

import argparse
import copy
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from measuring import machine, write_result
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from dd_nnunet.core.noise_schedule import cosine_alphas_cumprod
from dd_nnunet.core.plan import DiffusionPlan
from dd_nnunet.core.units import GB
from dd_nnunet.networks.diffusion_unet import DiffusionUNet
from dd_nnunet.networks.noising import add_noise
from dd_nnunet.objectives.denoising import denoising_loss
from dd_nnunet.planning.memory import UNetShape, diffusion_training_bytes

TIMESTEP, REPEATS = 50, {"cpu": 3, "cuda": 20}
MATRIX_EDGE = 8192
PLAIN, PLAIN_BF16, OURS = "float32 contiguous", "bfloat16 contiguous", "bfloat16 channels_last_3d"


@dataclass(frozen=True)
class Work:
    """A network and its batch."""

    channels: int
    edge: int
    batch_size: int

    @property
    def plan(self) -> DiffusionPlan:
        """Four resolutions, as the paper has them."""
        channels = tuple(self.channels * 2**i for i in range(4))
        return DiffusionPlan(
            channels, ((2, 2, 2),) * 3, ((3, 3, 3),) * 4, 250, self.batch_size, 1, 1e-4, 0.995
        )

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.channels} channels, {self.edge}³, batch {self.batch_size}"

    def estimated_gb(self, bfloat16: bool) -> float:
        """What the planner estimates for a step, without the moving average, which is not kept here."""
        plan, patch = self.plan, (self.edge,) * 3
        shape = UNetShape(patch, plan.channels, plan.strides_zyx, plan.kernel_sizes_zyx, 1)
        return diffusion_training_bytes(shape, self.batch_size, 2 if bfloat16 else 4) / GB


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


class Step:
    """One optimizer step of a copy of the network."""

    def __init__(self, network: DiffusionUNet, variant: Variant, device: str, learning_rate: float) -> None:
        self.network = copy.deepcopy(network).to(device, memory_format=variant.memory_format)  # type: ignore[call-overload]
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=learning_rate)
        self.forward: Callable[..., Any] = torch.compile(self.network) if variant.compiled else self.network
        self.variant, self.device = variant, device

    def __call__(self, x0: Tensor, noise: Tensor) -> float:
        """Forward, backward and update; returns the loss before the update, when all is done."""
        signal = torch.from_numpy(cosine_alphas_cumprod(250))[[TIMESTEP]]
        x_t = add_noise(x0, noise, signal).to(self.device, memory_format=self.variant.memory_format)
        times = torch.full((len(x0),), TIMESTEP, device=self.device)
        with torch.autocast(self.device, torch.bfloat16) if self.variant.bfloat16 else nullcontext():
            prediction = self.forward(x_t, times)
        loss = denoising_loss(prediction, x0.to(self.device)).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())


def measure(work: Work, variants: dict[str, Variant], device: str, repeats: int) -> dict[str, Any]:
    """All variants in turn, round by round, so that a slower machine slows them all."""
    torch.manual_seed(0)
    network, edges = DiffusionUNet(work.plan, 1), (work.edge,) * 3
    x0, noise = torch.rand(work.batch_size, 1, *edges) * 2 - 1, torch.randn(work.batch_size, 1, *edges)
    steps: dict[str, Step] = {}
    losses: dict[str, list[float]] = {}
    peaks: dict[str, float | None] = {}
    for name, variant in variants.items():
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() if device == "cuda" else 0
        steps[name] = Step(network, variant, device, work.plan.learning_rate)
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


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    device = parser.parse_args().device
    about = machine(device)
    torch.backends.cudnn.benchmark = True
    variants = VARIANTS | (COMPILED if device == "cuda" else {})
    found = [measure(work, variants, device, REPEATS[device]) for work in WORK[device]]
    suffix = "" if device == "cpu" else f"_{device}"
    result: dict[str, Any] = {"command": f"python benchmarks/diffusion_step.py --device {device}"}
    result |= (
        found[0] if device == "cpu" else {"works": found, "matrix_rate": matrix_rate(device, MATRIX_EDGE)}
    )
    write_result(f"diffusion_step{suffix}", result | {"machine": about})


if __name__ == "__main__":
    main()
