"""Which noise level and which decoder stages the features are read from."""

import math
from collections.abc import Sequence

import numpy as np

from dd_nnunet.core.errors import UserError
from dd_nnunet.core.noise_schedule import added_noise_sd
from dd_nnunet.core.plan import DiffusionPlan

CELLS_PER_DIAMETER = 3.0
NOISE_FACTOR = 3.0
FIRST_RANGE = (0.1, 0.4)
SECOND_FACTOR = 1.5


def cell_size_mm(diffusion: DiffusionPlan, stage: int, spacing_zyx_mm: Sequence[float]) -> float:
    """Edge of a feature cell of a stage: geometric mean over the axes, in millimetres."""
    reduction = diffusion.stage_reduction_zyx(stage)
    return math.prod(s * r for s, r in zip(spacing_zyx_mm, reduction, strict=True)) ** (1 / 3)


def diameter_of_level(diameters_mm: Sequence[float], level: int) -> float:
    """The diameter of a level (1-based); levels beyond the last one halve it again and again."""
    extra = max(0, level - len(diameters_mm))
    return diameters_mm[min(level, len(diameters_mm)) - 1] / float(2**extra)


def choose_stages(cells_mm: Sequence[float], diameters_mm: Sequence[float]) -> tuple[int, ...]:
    """The decoder stage of each level: cell size nearest a third of the diameter, in log distance.

    A finer level never gets a coarser stage than the level before it; of equals the coarser stage wins.

    Args:
        cells_mm: cell size of stages 1, 2, …, coarsest first.
        diameters_mm: characteristic diameter of levels 1, 2, …

    Returns:
        One stage (1-based) per level.
    """
    stages: list[int] = []
    for diameter in diameters_mm:
        allowed = range(stages[-1] if stages else 1, len(cells_mm) + 1)
        wanted = diameter / CELLS_PER_DIAMETER
        stages.append(min(allowed, key=lambda stage: abs(math.log(cells_mm[stage - 1] / wanted))))
    return tuple(stages)


def given_stages(stages: Sequence[int], numbers: Sequence[int], n_stages: int) -> tuple[int, ...]:
    """The stages that were given for levels, if the network has them.

    Args:
        stages: of levels 1, 2, …
        numbers: the levels asked for.
        n_stages: of the diffusion U-Net.

    Raises:
        UserError: a stage that the diffusion U-Net does not have.
    """
    chosen = tuple(stages[number - 1] for number in numbers)
    if not all(1 <= stage <= n_stages for stage in chosen):
        shown = " ".join(map(str, chosen))
        reason = f"{shown}: the planned diffusion U-Net has stages 1–{n_stages}, 1 is the coarsest"
        raise UserError("--stages", reason, "choose of those")
    return chosen


def noise_after_averaging(noise_sd: float, noise_slope: float, factor: float) -> float:
    """What is left of noise where every new voxel is the mean of factor³ old ones.

    Frequencies above 1/factor of the highest are gone; with a power spectrum f^slope the share of the power below
    is factor^-(3 + slope). Source: the integral of f^slope over a ball in the space of frequencies.

    Args:
        noise_sd: before.
        noise_slope: of its power spectrum, 0 = white; at or below -3 nothing is lost.
        factor: new over old spacing, from 1.
    """
    return noise_sd * math.pow(factor, -max(0.0, 3.0 + noise_slope) / 2)


def choose_timesteps(noise_sd: float, n_timesteps: int) -> tuple[int, int]:
    """Two timesteps whose added noise drowns the noise of the data.

    The first adds about 3 times the measured noise, so that the x0-prediction no longer reproduces the
    data's own noise, but stays within 0.1–0.4 T so that objects survive; the second is 1.5 times as late.

    Args:
        noise_sd: of the data, in units of its [0,1] range.
        n_timesteps: length T of the schedule.
    """
    added = added_noise_sd(n_timesteps)
    nearest = int(np.argmin(np.abs(added - NOISE_FACTOR * noise_sd)))
    low, high = (round(share * n_timesteps) for share in FIRST_RANGE)
    first = min(max(nearest, low), high)
    return first, round(SECOND_FACTOR * first)


def denoising_helps(noise_sd: float, n_timesteps: int) -> bool:
    """Whether data are noisy enough for their x0-prediction to lose more noise than structure.

    Not where even the earliest timestep of `choose_timesteps` adds more than 3 times the measured noise: what is
    fainter than the added noise fades in the prediction, and there is little noise to win.

    Args:
        noise_sd: of the data, in units of its [0,1] range.
        n_timesteps: length T of the schedule.
    """
    earliest = round(FIRST_RANGE[0] * n_timesteps)
    return NOISE_FACTOR * noise_sd >= float(added_noise_sd(n_timesteps)[earliest])
