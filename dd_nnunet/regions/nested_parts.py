"""Nested parts by rules: an object, the objects in it, and what lies in those.

Level 1 is the object and what surrounds it. Level 2 keeps the surroundings (part 0) and the object (part 1) and adds
one part per kind of sub-object. Level 3 keeps these and adds kinds of what lies in the sub-objects of each kind, so
the levels nest. Kinds are told apart within a case, by brightness, darkest first.
"""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dd_nnunet.core.level_plan import ObjectPlan
from dd_nnunet.regions.denoising import FloatImage, denoise
from dd_nnunet.regions.foreground import Mask, background_constant
from dd_nnunet.regions.intensity_classes import class_thresholds
from dd_nnunet.regions.kinds import Kinds, sort_into_kinds
from dd_nnunet.regions.morphology import Labels, components, filled, without_small
from dd_nnunet.regions.sub_objects import Usual, find_cores, find_sub_objects

Parts = npt.NDArray[np.uint8]
Spacing = tuple[float, float, float]
# per sd of the noise; chosen with the labels of synthetic cells that no result is reported for (decision 0015)
COARSE_WEIGHT = 1.25
FINE_WEIGHT = 0.65
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
    kinds = _kinds_of_objects(fine, objects, plan.n_parts[1] - 2)
    levels.append(np.where(objects > 0, 2 + kinds[objects], levels[0]).astype(np.uint8))
    if len(plan.n_parts) > 2:
        cores = find_cores(fine, objects, usual, smallest[2], spacing_zyx_mm)
        levels.append(_add_kinds_of_cores(fine, levels[1], cores, plan.n_parts))
    return tuple(levels)


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


def _kinds_of_objects(volume: FloatImage, objects: Labels, n_kinds: int) -> Kinds:
    """Kind of each object by the darkest and brightest of its voxels; entry 0 stands for none."""
    numbers, features, volumes = [], [], []
    for number, box, mask in components(objects):
        numbers.append(number)
        features.append(np.quantile(volume[box][mask], EXTREMES))
        volumes.append(mask.sum())
    kinds = np.zeros(objects.max() + 1, dtype=np.intp)
    if numbers:
        kinds[numbers] = sort_into_kinds(np.stack(features), np.asarray(volumes, dtype=np.float64), n_kinds)
    return kinds


def _add_kinds_of_cores(volume: FloatImage, parts: Parts, cores: Labels, n_parts: tuple[int, ...]) -> Parts:
    """Level 3: the parts of level 2, and within each kind of objects the kinds of cores, by mean brightness."""
    result = parts.copy()
    next_part = n_parts[1]
    for parent, n_kinds in enumerate(_spread(n_parts[2] - n_parts[1], n_parts[1] - 2), start=2):
        inside = np.where(parts == parent, cores, 0)
        numbers = np.unique(inside[inside > 0])
        if len(numbers) and n_kinds:
            means = ndimage.mean(volume, inside, numbers)
            volumes = np.bincount(inside.ravel())[numbers].astype(np.float64)
            part_of = np.zeros(cores.max() + 1, dtype=np.intp)
            part_of[numbers] = next_part + sort_into_kinds(np.asarray(means)[:, None], volumes, n_kinds)
            result = np.where(inside > 0, part_of[inside], result)
        next_part += n_kinds
    return result.astype(np.uint8)


def _spread(n_kinds: int, n_parents: int) -> list[int]:
    """Numbers of kinds for each parent, as even as can be, the first ones get one more."""
    return [n_kinds // n_parents + (parent < n_kinds % n_parents) for parent in range(n_parents)]
