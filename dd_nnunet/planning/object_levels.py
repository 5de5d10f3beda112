"""Which levels start from objects within objects: those of volumes that hold more of them than chance does."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dd_nnunet.core.fingerprint import CaseFingerprint, SubObjectFingerprint
from dd_nnunet.core.level_plan import MAX_OBJECT_LEVELS, ObjectPlan
from dd_nnunet.planning.stage_choice import diameter_of_level
from dd_nnunet.planning.surrogates import surrogates
from dd_nnunet.regions.contrast import boundary_contrast
from dd_nnunet.regions.denoising import COARSE_WEIGHT, FINE_WEIGHT, denoise
from dd_nnunet.regions.foreground import Mask, bounding_box
from dd_nnunet.regions.intensity_classes import class_thresholds
from dd_nnunet.regions.morphology import components
from dd_nnunet.regions.nested_parts import ball_volume, divided, find_object
from dd_nnunet.regions.sub_objects import Usual, find_sub_objects, share_of_sub_objects

FloatImage = npt.NDArray[np.float32]
N_SURROGATES = 5
SEED = 15
# objects of less than half of the characteristic diameter are taken for noise
SMALLEST_SHARE = 0.5
CHANCE_PERCENTILE = 95
# of level 2, for which both starts are compared; other numbers go by the nearest
COMPARED_PARTS = (3, 4, 5)


def measure_sub_objects(
    volume: FloatImage, spacing_zyx_mm: Sequence[float], diameters_mm: Sequence[float]
) -> SubObjectFingerprint | None:
    """Look for objects in the object of a volume, and in random textures in its place.

    Args:
        volume: [Z,Y,X] in [0,1].
        spacing_zyx_mm: of the volume.
        diameters_mm: characteristic diameters of the volume, largest first.

    Returns:
        None where no diameter was found or the object is smaller than 50 voxels without its rim.
    """
    if not diameters_mm:
        return None
    z, y, x = spacing_zyx_mm
    spacing, voxel = (z, y, x), z * y * x
    first, second = (ball_volume(SMALLEST_SHARE * diameter_of_level(diameters_mm, n)) / voxel for n in (1, 2))
    whole = find_object(volume, first)
    fine = denoise(volume, FINE_WEIGHT)
    usual = Usual.of(fine, whole, spacing)
    if usual is None:
        return None
    start, stop = bounding_box(whole)
    inside = whole[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    by_chance = []
    for field in surrogates(volume, whole, N_SURROGATES, SEED):
        texture = denoise(field, FINE_WEIGHT)
        usual_by_chance = Usual.of(texture, inside, spacing)
        if usual_by_chance is not None:
            by_chance.append(_share(texture, usual_by_chance, second, spacing))
    objects, classes = _contrasts(volume, fine, whole, usual, second, spacing)
    return SubObjectFingerprint(_share(fine, usual, second, spacing), tuple(by_chance), objects, classes)


def _contrasts(
    volume: FloatImage,
    fine: FloatImage,
    whole: Mask,
    usual: Usual,
    min_voxels: float,
    spacing: tuple[float, float, float],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of objects and of kinds of intensity, each as 3, 4 and 5 parts: `boundary_contrast`."""
    coarse = denoise(volume, COARSE_WEIGHT)
    found = find_sub_objects(fine, usual, min_voxels, spacing)
    pieces = [(box, mask) for _, box, mask in components(found)]
    objects: list[float] = []
    classes: list[float] = []
    for n_parts in COMPARED_PARTS:
        plan = ObjectPlan((2, n_parts), (1.0, 1.0), 0.0)
        (second,) = divided(fine, whole.astype(np.uint8), pieces, usual, plan, spacing)
        kinds = np.digitize(coarse, class_thresholds(coarse, n_parts))
        for contrasts, parts in ((objects, second), (classes, kinds)):
            contrasts.append(round(boundary_contrast(parts, coarse[None]), 4))
    return tuple(objects), tuple(classes)


def object_levels(cases: Sequence[CaseFingerprint], n_parts: Sequence[int]) -> tuple[int, str]:
    """How many levels start from objects within objects, and why.

    Level 1 does if it has two parts and there is one channel. Level 2 does if it has more, if the cases' median share
    of sub-objects exceeds the 95th percentile of all surrogates' shares, and if the outlines of objects cross no
    smaller steps of the volume than those of as many kinds of intensity; level 3 follows if it has still more.

    Args:
        cases: at least one that is not constant; constant ones do not count.
        n_parts: K of each level.

    Returns:
        0 … 3 and a reason in words.
    """
    measured = [case.sub_objects for case in cases if case.sub_objects is not None]
    if any(len(case.channels) > 1 for case in cases):
        return 0, "several channels; objects are looked for in one only"
    if n_parts[0] != 2:
        return 0, f"level 1 has {n_parts[0]} parts, not an object and its surroundings"
    if len(n_parts) == 1 or n_parts[1] == 2:
        return 1, "the object and its surroundings"
    if not measured:
        return 1, "no volume has an object that is large enough to be looked into"
    share = float(np.median([found.share for found in measured]))
    chance = float(np.percentile([s for found in measured for s in found.by_chance], CHANCE_PERCENTILE))
    found = f"{100 * share:.2g} % of the object is in compact unusual groups"
    against = f"no more than the {100 * chance:.2g} % of surrogates" if share <= chance else ""
    against = against or _where_intensities_are_better(measured, n_parts[1])
    if against:
        return 1, f"{found}, {against}"
    rising = 2 + (len(n_parts) >= MAX_OBJECT_LEVELS and n_parts[2] > n_parts[1])
    return rising, f"{found}, {100 * chance:.2g} % of surrogates"


def _where_intensities_are_better(measured: Sequence[SubObjectFingerprint], n_parts: int) -> str:
    """In words, where the outlines of kinds of intensity cross larger steps than those of objects; else nothing."""
    place = min(max(n_parts, COMPARED_PARTS[0]), COMPARED_PARTS[-1]) - COMPARED_PARTS[0]
    compared = [(m.object_contrast[place], m.class_contrast[place]) for m in measured if m.object_contrast]
    if not compared:
        return ""
    objects, classes = np.median(compared, axis=0).tolist()
    if classes <= objects:
        return ""
    return (
        f"but outlines of {COMPARED_PARTS[0] + place} kinds of intensity cross steps of {classes:.3g} times "
        f"the mean, those of objects of {objects:.3g} times"
    )


def _share(
    volume: npt.NDArray[np.floating[Any]],
    usual: Usual,
    min_voxels: float,
    spacing: tuple[float, float, float],
) -> float:
    return round(share_of_sub_objects(volume, usual, min_voxels, spacing), 5)
