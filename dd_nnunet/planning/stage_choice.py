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


def check_stages(stages: Sequence[int], n_levels: int, n_stages: int) -> tuple[int, ...]:
    """The stages that were given, one per level, if the network has them.

    Raises:
        UserError: too few, too many, or a stage that the diffusion U-Net does not have.
    """
    shown = " ".join(map(str, stages))
    if len(stages) != n_levels:
        raise UserError(
            "--stages", f"{shown} are {len(stages)}, levels are {n_levels}", "give one stage per level"
        )
    if not all(1 <= stage <= n_stages for stage in stages):
        reason = f"{shown}: the planned diffusion U-Net has stages 1–{n_stages}, 1 is the coarsest"
        raise UserError("--stages", reason, "choose of those")
    return tuple(stages)


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
