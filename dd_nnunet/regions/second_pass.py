"""What a network predicted, made sharp and sorted by the rules that it was started from."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from dd_nnunet.core.level_plan import ObjectPlan
from dd_nnunet.regions.denoising import FINE_WEIGHT, FloatImage, denoise, laplacian_noise_sd
from dd_nnunet.regions.foreground import Mask
from dd_nnunet.regions.morphology import Box, components, largest_component, without_small
from dd_nnunet.regions.nested_parts import Parts, Piece, Spacing, ball_volume, divided, solid, within
from dd_nnunet.regions.outline import sharp_outline
from dd_nnunet.regions.sub_objects import Usual, split_touching

# of a smallest object: what a network leaves of it where it is not sure
SMALLEST_SHARE = 0.5
# voxels around an object that are denoised with it
MARGIN = 8
# voxels; what fills a larger box is one object, so that memory is bounded
LARGEST_CUT = 2**24


def second_pass(
    parts: Parts, volume: FloatImage, plan: ObjectPlan, level: int, spacing_zyx_mm: Spacing
) -> Parts:
    """Parts of a level that starts from objects, looked at again in the case as a whole.

    A segmenter has to say at each voxel, from the voxel's surroundings, where an object ends and which of the case's
    kinds it is. What it knows well is where objects are. So these are taken from it: part 1 and above, whose outline
    is moved to where the volume changes (`sharp_outline`) and filled with what it encloses (`solid`), and parts 2 and
    above, those that touch cut apart. Their kinds, and their cores, follow by the rules that the segmenter was
    started from.

    Args:
        parts: [Z,Y,X], below the plan's number of parts at this level.
        volume: [Z,Y,X] in [0,1].
        plan: how many parts and how large; objects of less than half of the smallest volume are left out, of level 1
            too, if a larger one is there.
        level: 1, 2 or 3.
        spacing_zyx_mm: of the volume.

    Returns:
        [Z,Y,X].
    """
    fewest = [SMALLEST_SHARE * ball_volume(mm) / float(np.prod(spacing_zyx_mm)) for mm in plan.smallest_mm]
    whole = solid(sharp_outline(parts > 0, volume, spacing_zyx_mm))
    # one is left, however small
    whole = without_small(whole, min(fewest[0], float(largest_component(whole).sum())))
    parts = np.where(whole, np.maximum(parts, 1), 0).astype(np.uint8)
    if level == 1:
        return parts
    objects = list(_apart(parts > 1, fewest[1]))
    fine, known = _denoised_around(volume, [box for box, _ in objects])
    usual = Usual.of(fine, known & (parts == 1), spacing_zyx_mm)
    if usual is None:
        return parts
    plan = replace(plan, n_parts=plan.n_parts[:level], smallest_mm=plan.smallest_mm[:level])
    return divided(fine, np.minimum(parts, 1), objects, usual, plan, spacing_zyx_mm)[-1]


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
        yield from ((within(box, inner), piece) for _, inner, piece in components(split_touching(whole)))


def _denoised_around(volume: FloatImage, boxes: Sequence[Box]) -> tuple[FloatImage, Mask]:
    """The volume denoised, at least around some boxes; and where it is.

    A few objects in a large volume would cost more time than the network took, were all of it denoised.
    """
    read = [_grown(box, MARGIN) for box in boxes]
    if sum(volume[box].size for box in read) >= volume.size:
        return denoise(volume, FINE_WEIGHT), np.ones(volume.shape, dtype=bool)
    fine, known = volume.copy(), np.zeros(volume.shape, dtype=bool)
    noise = laplacian_noise_sd(volume)
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
