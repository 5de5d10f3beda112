"""A training step of the paper's diffusion U-Net on the CPU: bfloat16 channels-last against plain float32.

    python benchmarks/diffusion_step.py     # writes benchmarks/results/diffusion_step.json

The same weights, volume, noise and timestep in every variant; dim 64, 64³, batch 1.
"""

import copy
import time
from contextlib import nullcontext

import torch
from measuring import machine, write_result
from torch import Tensor

from dd_nnunet.core.noise_schedule import cosine_alphas_cumprod
from dd_nnunet.core.plan import DiffusionPlan
from dd_nnunet.networks.diffusion_unet import DiffusionUNet
from dd_nnunet.networks.noising import add_noise
from dd_nnunet.objectives.denoising import denoising_loss

PAPER = DiffusionPlan((64, 128, 256, 512), ((2, 2, 2),) * 3, ((3, 3, 3),) * 4, 250, 1, 1, 1e-4, 0.995)
SIZE, TIMESTEP, REPEATS = 64, 50, 3
VARIANTS = {
    "float32 contiguous": (False, torch.contiguous_format),
    "float32 channels_last_3d": (False, torch.channels_last_3d),
    "bfloat16 contiguous": (True, torch.contiguous_format),
    "bfloat16 channels_last_3d": (True, torch.channels_last_3d),
}


class Step:
    """One optimizer step of a copy of the network in a number format and memory order."""

    def __init__(self, network: DiffusionUNet, bfloat16: bool, memory_format: torch.memory_format) -> None:
        self.network = copy.deepcopy(network).to(memory_format=memory_format)  # type: ignore[call-overload]
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=PAPER.learning_rate)
        self.bfloat16 = bfloat16
        self.memory_format = memory_format

    def __call__(self, x0: Tensor, noise: Tensor) -> float:
        """Forward, backward and update; returns the loss before the update."""
        signal = torch.from_numpy(cosine_alphas_cumprod(PAPER.n_timesteps))[[TIMESTEP]]
        x_t = add_noise(x0, noise, signal).contiguous(memory_format=self.memory_format)
        with torch.autocast("cpu", torch.bfloat16) if self.bfloat16 else nullcontext():
            prediction = self.network(x_t, torch.tensor([TIMESTEP]))
        loss = denoising_loss(prediction, x0).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())


def main() -> None:
    """Measure the variants in turn, round by round, so that a slower machine slows them all."""
    about = machine()
    torch.manual_seed(0)
    network = DiffusionUNet(PAPER, 1)
    x0, noise = torch.rand(1, 1, SIZE, SIZE, SIZE) * 2 - 1, torch.randn(1, 1, SIZE, SIZE, SIZE)
    steps = {name: Step(network, *variant) for name, variant in VARIANTS.items()}
    losses: dict[str, list[float]] = {name: [step(x0, noise)] for name, step in steps.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(REPEATS):
        for name, step in steps.items():
            start = time.perf_counter()
            losses[name].append(step(x0, noise))
            seconds[name].append(time.perf_counter() - start)
    plain, ours = "float32 contiguous", "bfloat16 channels_last_3d"
    best = {name: min(values) for name, values in seconds.items()}
    write_result(
        "diffusion_step",
        {
            "command": "python benchmarks/diffusion_step.py",
            "network": "dim 64, 64³, batch 1",
            "parameters": sum(p.numel() for p in network.parameters()),
            "seconds": seconds,
            "ratio_of_best": {name: best[plain] / value for name, value in best.items()},
            "losses": losses,
            "relative_difference_of_first_loss": abs(losses[ours][0] - losses[plain][0]) / losses[plain][0],
            "machine": about,
        },
    )


if __name__ == "__main__":
    main()
