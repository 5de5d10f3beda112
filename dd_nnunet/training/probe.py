"""How long a fold will take on this machine, from a few timed steps of its networks.

Steps are timed on random numbers for about three seconds together, and multiplied by what the plan asks for. Reading
cases, k-means and writing are left out; they take a few percent.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dd_nnunet.core.plan import LevelGroup, Zyx
from dd_nnunet.core.tiling import iterate_tiles
from dd_nnunet.networks.decoder_features import TILE_STEP
from dd_nnunet.networks.diffusion_unet import DiffusionUNet
from dd_nnunet.networks.segmentation_unet import build_segmenter
from dd_nnunet.planning.topology import pad_to_multiple
from dd_nnunet.training.monitor import patches_per_epoch
from dd_nnunet.training.setup import TrainingSetup

PROBE_SECONDS = 3.0
# networks that get a share of it: the diffusion model's step and pass, the segmenter's step and pass
N_PROBES = 4
# shorter trainings are not worth the wait
SHORT_SECONDS = 60.0
# a step of the segmenter that asks for Eq. 8 sees the volume and its photometric twin
SEGMENTER_PASSES = 2
MIRRORED_COPIES = 8
VALIDATION_STEP = 0.5


@dataclass(frozen=True)
class ExpectedTime:
    """Seconds of a fold's parts: pretraining, features of the training cases, all levels, validation."""

    diffusion: float
    features: float
    levels: float
    validation: float

    @property
    def total(self) -> float:
        """Of the whole fold."""
        return self.diffusion + self.features + self.levels + self.validation

    def line(self) -> str:
        """One line for the screen, in minutes."""
        names = (("diffusion", self.diffusion), ("features", self.features), ("levels", self.levels),
                 ("validation", self.validation))  # fmt: skip
        parts = ", ".join(f"{name} {seconds / 60:.1f}" for name, seconds in names if seconds)
        return f"about {self.total / 60:.0f} minutes on this machine by a short probe: {parts}"


def expect_time(
    setup: TrainingSetup, groups: Sequence[LevelGroup], with_diffusion: bool
) -> ExpectedTime | None:
    """Time the networks on this machine.

    Args:
        setup: plan, cases and device of the fold.
        groups: of levels that are still to be trained.
        with_diffusion: the diffusion model is still to be trained.

    Returns:
        What is expected, or None where a first look says that it is less than a minute.
    """
    with torch.random.fork_rng(devices=[]):
        first = _expect(setup, groups, with_diffusion, budget_s=0.0)
        if first.total < SHORT_SECONDS:
            return None
        return _expect(setup, groups, with_diffusion, PROBE_SECONDS / N_PROBES)


def _expect(
    setup: TrainingSetup, groups: Sequence[LevelGroup], with_diffusion: bool, budget_s: float
) -> ExpectedTime:
    plan = setup.configuration
    patch, seen = plan.patch_size_zyx, plan.diffusion_patch_zyx
    volume = _padded(setup)
    network = setup.runtime.place_network(DiffusionUNet(plan.diffusion, setup.n_channels))
    times = torch.zeros(plan.diffusion.batch_size, dtype=torch.long, device=setup.runtime.device)
    batch = _random(setup, plan.diffusion.batch_size, seen)
    step = _seconds(_training_step(network, batch, setup, times), budget_s) if with_diffusion else 0.0
    passing = _seconds(_pass(network, batch, setup, times), budget_s) / len(batch)
    draws = len(plan.features.timesteps) * plan.features.n_draws
    feature_tiles = _tiles(plan.diffusion.grid_zyx or volume, seen, TILE_STEP) * len(setup.fold.train)
    segmenter = setup.runtime.place_network(
        build_segmenter(
            plan.segmenter, setup.n_channels, max((group.tree.n_channels for group in groups), default=2)
        )
    )
    batch = _random(setup, SEGMENTER_PASSES * plan.segmenter.batch_size, patch)
    level_step = _level_step(segmenter, batch, setup, budget_s) if groups else 0.0
    predicting = _seconds(_pass(segmenter, batch[:1], setup), budget_s) if groups else 0.0
    n_looks = patches_per_epoch(
        len(setup.fold.train), _tiles(volume, patch, 1.0), plan.segmenter.kept_epoch == "certain"
    )
    looking = n_looks * predicting
    mirrored = 1 if plan.segmenter.recipe == "plain" else MIRRORED_COPIES
    copies = mirrored * _tiles(volume, patch, VALIDATION_STEP) * len(setup.fold.val)
    return ExpectedTime(
        diffusion=plan.diffusion.iterations * step,
        features=feature_tiles * draws * passing if groups else 0.0,
        levels=len(groups)
        * plan.segmenter.epochs
        * (plan.segmenter.iterations_per_epoch * level_step + looking),
        validation=len(groups) * copies * predicting,
    )


def _level_step(segmenter: nn.Module, batch: Tensor, setup: TrainingSetup, budget_s: float) -> float:
    """Mean of the steps with the photometric twins, which `batch` holds, and of those without."""
    interval = setup.configuration.segmenter.invariance_interval
    twins = _seconds(_training_step(segmenter, batch, setup), budget_s / min(interval, 2))
    if interval == 1:
        return twins
    alone = batch[: len(batch) // SEGMENTER_PASSES]
    return (
        twins + (interval - 1) * _seconds(_training_step(segmenter, alone, setup), budget_s / 2)
    ) / interval


def _padded(setup: TrainingSetup) -> Zyx:
    """The median volume as it is read: at least a patch, and a multiple of the strides."""
    plan = setup.configuration
    pairs = zip(plan.median_shape_zyx, plan.patch_size_zyx, strict=True)
    return pad_to_multiple([max(n, p) for n, p in pairs], plan.volume_multiple_zyx)


def _tiles(volume: Zyx, patch: Zyx, step: float) -> int:
    return sum(1 for _ in iterate_tiles(volume, patch, step))


def _random(setup: TrainingSetup, batch_size: int, patch: Zyx) -> Tensor:
    return setup.runtime.place(torch.rand(batch_size, setup.n_channels, *patch))


def _training_step(
    network: nn.Module, batch: Tensor, setup: TrainingSetup, *more: Tensor
) -> Callable[[], None]:
    optimizer = torch.optim.Adam(network.parameters(), lr=0.0)

    def step() -> None:
        with setup.runtime.autocast():
            output = network(batch, *more)
        optimizer.zero_grad(set_to_none=True)
        output.float().square().mean().backward()
        optimizer.step()

    return step


def _pass(network: nn.Module, batch: Tensor, setup: TrainingSetup, *more: Tensor) -> Callable[[], None]:
    def run() -> None:
        with torch.inference_mode(), setup.runtime.autocast():
            network(batch, *more)

    return run


def _seconds(work: Callable[[], None], budget_s: float) -> float:
    """Mean time of some work, repeated until `budget_s` is spent; the first time does not count."""
    work()
    started, spent, n_done = time.perf_counter(), 0.0, 0
    while n_done == 0 or spent < budget_s:
        work()
        n_done += 1
        spent = time.perf_counter() - started
    return spent / n_done
