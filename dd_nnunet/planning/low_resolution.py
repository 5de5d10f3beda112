"""A second, coarser configuration for volumes far larger than a patch, and the levels that it serves.

The spacing grows as in nnU-Net: by 3 % a step, finer axes first until no axis is more than twice as coarse as
another (Isensee et al. 2021, doi 10.1038/s41592-020-01008-z, "3D low resolution U-Net"; nnunetv2/
experiment_planning/experiment_planners/default_experiment_planner.py).
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from dd_nnunet.core.plan import Zyx
from dd_nnunet.planning.networks import Task, fits_whole
from dd_nnunet.planning.presets import Budget, Preset
from dd_nnunet.planning.resolution import Millimetres, resampled_shape

# a volume of more patches than this is seen whole at a coarser spacing
MOST_PATCHES = 4
GROWTH = 1.03
MAX_ANISOTROPY = 2.0
MIN_EDGE = 8
# a level whose objects are wider than this share of a patch needs a wider view ...
WIDE_SHARE = 0.5
# ... and may have it where they are still this many voxels wide
MIN_DIAMETER = 6.0


def needs_low_resolution(shape_zyx: Sequence[int], patch_zyx: Sequence[int], n_levels: int) -> bool:
    """Whether a volume is worth more than 4 patches; a single level stays at full resolution."""
    return n_levels > 1 and math.prod(shape_zyx) > MOST_PATCHES * math.prod(patch_zyx)


def coarsen(task: Task, preset: Preset, budget: Budget) -> Task | None:
    """The finest coarser resolution at which the median volume is one patch.

    Returns:
        The task with its new spacing and shape, or None where an axis would fall under 8 voxels first.
    """
    spacing = task.spacing_zyx_mm
    while not fits_whole(coarser := _at(task, spacing), preset, budget):
        spacing = _grow(spacing)
        if min(coarser.median_shape_zyx) < MIN_EDGE:
            return None
    return coarser if min(coarser.median_shape_zyx) >= MIN_EDGE else None


def share_levels(
    diameters_mm: Sequence[float], patch_mm: float, coarse_mm: float
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Which levels (1-based) need the whole view and which the full resolution.

    Level 1 tells the object from what surrounds it and goes to the low resolution, with every level that follows
    and whose objects are wider than half of a full-resolution patch and at least 6 coarse voxels. The last level
    keeps the full resolution.

    Args:
        diameters_mm: characteristic diameter of levels 1, 2, …; at least two.
        patch_mm: shortest edge of a patch at full resolution.
        coarse_mm: spacing of the low resolution, the coarsest axis.
    """
    needed = max(WIDE_SHARE * patch_mm, MIN_DIAMETER * coarse_mm)
    n_low = 1
    while n_low < len(diameters_mm) - 1 and diameters_mm[n_low] > needed:
        n_low += 1
    levels = tuple(range(1, len(diameters_mm) + 1))
    return levels[:n_low], levels[n_low:]


def patch_edge_mm(patch_zyx: Zyx, spacing_zyx_mm: Sequence[float]) -> float:
    """The shortest edge of a patch."""
    return min(n * s for n, s in zip(patch_zyx, spacing_zyx_mm, strict=True))


def _at(task: Task, spacing: Millimetres) -> Task:
    z_mm, y_mm, x_mm = (float(f"{s:.4g}") for s in spacing)
    shape = resampled_shape(task.median_shape_zyx, task.spacing_zyx_mm, (z_mm, y_mm, x_mm))
    return replace(task, spacing_zyx_mm=(z_mm, y_mm, x_mm), median_shape_zyx=shape)


def _grow(spacing: Millimetres) -> Millimetres:
    coarsest = max(spacing)
    behind = any(coarsest / s > MAX_ANISOTROPY for s in spacing)
    z, y, x = (s * GROWTH if not behind or coarsest / s > MAX_ANISOTROPY else s for s in spacing)
    return (z, y, x)
