"""Nested parts by rules: an object, the objects in it, and what lies in those.

Level 1 is the object and what surrounds it. Level 2 keeps the surroundings (part 0) and the object (part 1) and adds
one part per kind of sub-object. Level 3 keeps these and adds kinds of what lies in the sub-objects of each kind, so
the levels nest. Kinds are told apart within a case, by brightness, darkest first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dd_nnunet.core.level_plan import ObjectPlan
from dd_nnunet.regions.denoising import FloatImage, denoise, noise_sd
from dd_nnunet.regions.foreground import Mask, background_constant
from dd_nnunet.regions.intensity_classes import class_thresholds
from dd_nnunet.regions.kinds import Kinds, sort_into_kinds
from dd_nnunet.regions.morphology import Box, components, filled, without_small
from dd_nnunet.regions.sub_objects import Usual, find_cores, find_sub_objects, split_touching

Parts = npt.NDArray[np.uint8]
Spacing = tuple[float, float, float]
# a box of the volume, and where something is in it [Z,Y,X]
Piece = tuple[Box, Mask]
# per sd of the noise; chosen with the labels of synthetic cells that no result is reported for (decision 0015)
COARSE_WEIGHT = 1.25
FINE_WEIGHT = 0.65
EXTREMES = (0.05, 0.95)
# of a smallest object: what a network leaves of it where it is not sure
SMALLEST_SHARE = 0.5
# voxels around an object that are denoised with it
MARGIN = 8
# voxels; what fills a larger box is one object, so that memory is bounded
LARGEST_CUT = 2**24


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
    return (levels[0], *_divided(fine, levels[0], pieces, usual, plan, spacing_zyx_mm))


def sorted_again(
    parts: Parts, volume: FloatImage, plan: ObjectPlan, level: int, spacing_zyx_mm: Spacing
) -> Parts:
    """Parts of a level whose objects a network found, their kinds told apart within the case again.

    A network has to say at each voxel which of the case's kinds an object is, from the voxel's surroundings. What it
    knows well is where objects are. So these are taken from it: parts 2 and above, those that touch cut apart. Their
    kinds, and their cores, follow by the rules that it was started from.

    Args:
        parts: [Z,Y,X], below the plan's number of parts at this level.
        volume: [Z,Y,X] in [0,1], without padding.
        plan: how many parts and how large; objects of less than half of the smallest volume are left out.
        level: 2 or 3.
        spacing_zyx_mm: of the volume.

    Returns:
        [Z,Y,X].
    """
    voxel_mm3 = float(np.prod(spacing_zyx_mm))
    objects = list(_apart(parts > 1, SMALLEST_SHARE * ball_volume(plan.smallest_mm[1]) / voxel_mm3))
    fine, known = _denoised_around(volume, [box for box, _ in objects])
    usual = Usual.of(fine, known & (parts == 1), spacing_zyx_mm)
    if usual is None:
        return parts
    plan = replace(plan, n_parts=plan.n_parts[:level], smallest_mm=plan.smallest_mm[:level])
    return _divided(fine, np.minimum(parts, 1), objects, usual, plan, spacing_zyx_mm)[-1]


def ball_volume(diameter: float) -> float:
    """Volume of a ball."""
    return float(np.pi / 6 * diameter**3)


def find_object(volume: FloatImage, min_voxels: float) -> Mask:
    """What is not background.

    Background is the constant around the volume's border; without such a constant, the class of the best two-means
    clustering that owns most border voxels.

    Args:
        volume: [Z,Y,X] in [0,1].
        min_voxels: smaller pieces, and smaller enclosed holes, are left out.

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
    mask = without_small(mask, min_voxels)
    holes = filled(mask) & ~mask
    return mask | (holes & ~without_small(holes, min_voxels))


def _apart(mask: Mask, min_voxels: float) -> Iterator[Piece]:
    """The components of a mask [Z,Y,X] that have so many voxels, cut where they are thin."""
    labels, _ = ndimage.label(mask)
    # with a margin, so that the box shows the whole outline
    for _, box, whole in components(labels, 1):
        if whole.sum() < min_voxels:
            continue
        if whole.size > LARGEST_CUT:
            yield box, whole
            continue
        yield from ((_within(box, inner), piece) for _, inner, piece in components(split_touching(whole)))


def _denoised_around(volume: FloatImage, boxes: Sequence[Box]) -> tuple[FloatImage, Mask]:
    """The volume denoised, at least around some boxes; and where it is.

    A few objects in a large volume would cost more time than the network took, were all of it denoised.
    """
    read = [_grown(box, MARGIN) for box in boxes]
    if sum(volume[box].size for box in read) >= volume.size:
        return denoise(volume, FINE_WEIGHT), np.ones(volume.shape, dtype=bool)
    fine, known = volume.copy(), np.zeros(volume.shape, dtype=bool)
    noise = noise_sd(volume)
    for box, around in zip(boxes, read, strict=True):
        # what lies at the edge of the box that is read lacks its surroundings
        kept = _grown(box, MARGIN // 2)
        inner = tuple(slice(k.start - a.start, k.stop - a.start) for k, a in zip(kept, around, strict=True))
        fine[kept] = denoise(volume[around], FINE_WEIGHT, noise)[inner]
        known[kept] = True
    return fine, known


def _grown(box: Box, margin: int) -> Box:
    z, y, x = (slice(max(axis.start - margin, 0), axis.stop + margin) for axis in box)
    return z, y, x


def _divided(
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
        [(_within(box, core), piece) for core, piece in find_cores(fine[box], mask, usual, smallest, spacing)]
        for box, mask in objects
    ]
    third, next_part = second, n_parts[1]
    for kind, n_kinds in enumerate(_spread(n_parts[2] - n_parts[1], n_parts[1] - 2)):
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


def _within(outer: Box, inner: Box) -> Box:
    """A box inside a box, in the coordinates of the volume."""
    z, y, x = (slice(o.start + i.start, o.start + i.stop) for o, i in zip(outer, inner, strict=True))
    return z, y, x


def _spread(n_kinds: int, n_parents: int) -> list[int]:
    """Numbers of kinds for each parent, as even as can be, the first ones get one more."""
    return [n_kinds // n_parents + (parent < n_kinds % n_parents) for parent in range(n_parents)]
