"""Objects in the object of a volume, what there would be by chance, and how their outlines compare."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dd_nnunet.core.fingerprint import SubObjectFingerprint
from dd_nnunet.core.level_plan import ObjectPlan
from dd_nnunet.planning.object_levels import COMPARED_PARTS, SMALLEST_SHARE
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


def _share(
    volume: npt.NDArray[np.floating[Any]],
    usual: Usual,
    min_voxels: float,
    spacing: tuple[float, float, float],
) -> float:
    return round(share_of_sub_objects(volume, usual, min_voxels, spacing), 5)
