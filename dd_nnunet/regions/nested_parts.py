"""Nested parts by rules: an object, the objects in it, and what lies in those.

Level 1 is the object and what surrounds it. Level 2 keeps the surroundings (part 0) and the object (part 1) and adds
one part per kind of sub-object. Level 3 keeps these and adds kinds of what lies in the sub-objects of each kind, so
the levels nest. Kinds are told apart within a case, by brightness, darkest first.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dd_nnunet.core.level_plan import ObjectPlan
from dd_nnunet.regions.denoising import COARSE_WEIGHT, FINE_WEIGHT, FloatImage, denoise
from dd_nnunet.regions.foreground import Mask, background_constant
from dd_nnunet.regions.intensity_classes import class_thresholds
from dd_nnunet.regions.kinds import Kinds, sort_into_kinds
from dd_nnunet.regions.morphology import Box, components, filled, filled_up_to_faces, without_small
from dd_nnunet.regions.sub_objects import Usual, find_cores, find_sub_objects

Parts = npt.NDArray[np.uint8]
Spacing = tuple[float, float, float]
# a box of the volume, and where something is in it [Z,Y,X]
Piece = tuple[Box, Mask]
EXTREMES = (0.05, 0.95)


def nested_parts(volume: FloatImage, plan: ObjectPlan, spacing_zyx_mm: Spacing) -> tuple[Parts, ...]:
    """Parts of one channel of a prepared volume, level by level.

    Args:
        volume: [Z,Y,X] in [0,1], without padding.
        plan: how many parts and how large.
        spacing_zyx_mm: of the volume.

    Returns:
        Per level of the plan [Z,Y,X], below its number of parts. A part that is not found stays empty.
    """
    voxel_mm3 = float(np.prod(spacing_zyx_mm))
    smallest = [ball_volume(diameter) / voxel_mm3 for diameter in plan.smallest_mm]
    whole = find_object(volume, smallest[0])
    levels = [whole.astype(np.uint8)]
    if len(plan.n_parts) == 1:
        return tuple(levels)
    fine = denoise(volume, FINE_WEIGHT)
    usual = Usual.of(fine, whole, spacing_zyx_mm)
    if usual is None:
        return tuple(levels * len(plan.n_parts))
    objects = find_sub_objects(fine, usual, smallest[1], spacing_zyx_mm)
    pieces = [(box, mask) for _, box, mask in components(objects)]
    return (levels[0], *divided(fine, levels[0], pieces, usual, plan, spacing_zyx_mm))


def ball_volume(diameter: float) -> float:
    """Volume of a ball."""
    return float(np.pi / 6 * diameter**3)


def find_object(volume: FloatImage, min_voxels: float) -> Mask:
    """What is not background.

    Background is the constant around the volume's border; without such a constant, the class of the best two-means
    clustering that owns most border voxels. What an object encloses, if need be with the volume's face, lies in it;
    but a shell, which encloses more than it has voxels itself, keeps its lumen apart.

    Args:
        volume: [Z,Y,X] in [0,1].
        min_voxels: smaller pieces are left out, and smaller holes of shells filled.

    Returns:
        [Z,Y,X] bool.
    """
    constant = background_constant(volume)
    if constant is None:
        smooth = denoise(volume, COARSE_WEIGHT)
        thresholds = class_thresholds(smooth, 2)
        mask = np.digitize(smooth, thresholds) > 0
        border = np.ones(mask.shape, dtype=bool)
        border[1:-1, 1:-1, 1:-1] = False
        if 2 * mask[border].sum() > border.sum():
            mask = ~mask
    else:
        mask = volume != constant
    mask = solid(without_small(mask, min_voxels))
    holes = filled(mask) & ~mask
    return mask | (holes & ~without_small(holes, min_voxels))


def solid(mask: Mask) -> Mask:
    """The mask [Z,Y,X] with what those of its components enclose that are at least half of what they fill."""
    whole, _ = ndimage.label(filled_up_to_faces(mask))
    of_mask, of_whole = np.bincount(whole[mask], minlength=whole.max() + 1), np.bincount(whole.ravel())
    is_solid = 2 * of_mask >= of_whole
    # 0 is what lies outside of all
    is_solid[0] = False
    result: Mask = mask | is_solid[whole]
    return result


def divided(
    fine: FloatImage, first: Parts, objects: Sequence[Piece], usual: Usual, plan: ObjectPlan, spacing: Spacing
) -> tuple[Parts, ...]:
    """Level 2, and level 3 if planned: kinds of objects by their extremes, kinds of their cores by their means."""
    n_parts = plan.n_parts
    extremes = [np.quantile(fine[box][mask], EXTREMES) for box, mask in objects]
    kinds = _kinds(extremes, objects, n_parts[1] - 2)
    second = _painted(first, objects, 2 + kinds)
    if len(n_parts) == 2:
        return (second,)
    smallest = ball_volume(plan.smallest_mm[2]) / float(np.prod(spacing))
    cores = [
        [(within(box, core), piece) for core, piece in find_cores(fine[box], mask, usual, smallest, spacing)]
        for box, mask in objects
    ]
    third, next_part = second, n_parts[1]
    for kind, n_kinds in enumerate(plan.core_kinds):
        inside = [piece for number, pieces in enumerate(cores) if kinds[number] == kind for piece in pieces]
        if n_kinds:
            means = [fine[box][mask].mean(keepdims=True, dtype=np.float64) for box, mask in inside]
            third = _painted(third, inside, next_part + _kinds(means, inside, n_kinds))
        next_part += n_kinds
    return second, third


def _kinds(features: Sequence[npt.NDArray[Any]], pieces: Sequence[Piece], n_kinds: int) -> Kinds:
    volumes = np.array([mask.sum() for _, mask in pieces], dtype=np.float64)
    return sort_into_kinds(np.stack(features), volumes, n_kinds) if pieces else np.zeros(0, dtype=np.intp)


def _painted(parts: Parts, pieces: Sequence[Piece], numbers: Kinds) -> Parts:
    painted = parts.copy()
    for (box, mask), number in zip(pieces, numbers, strict=True):
        painted[box][mask] = number
    return painted


def within(outer: Box, inner: Box) -> Box:
    """A box inside a box, in the coordinates of the volume."""
    z, y, x = (slice(o.start + i.start, o.start + i.stop) for o, i in zip(outer, inner, strict=True))
    return z, y, x
