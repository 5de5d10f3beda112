"""Which levels start from objects within objects: those of volumes that hold more of them than chance does."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dd_nnunet.core.fingerprint import CaseFingerprint, SubObjectFingerprint
from dd_nnunet.core.level_plan import MAX_OBJECT_LEVELS
from dd_nnunet.planning.stage_choice import diameter_of_level
from dd_nnunet.planning.surrogates import surrogates
from dd_nnunet.regions.denoising import FINE_WEIGHT, denoise
from dd_nnunet.regions.foreground import bounding_box
from dd_nnunet.regions.nested_parts import ball_volume, find_object
from dd_nnunet.regions.sub_objects import Usual, share_of_sub_objects

FloatImage = npt.NDArray[np.float32]
N_SURROGATES = 5
SEED = 15
# objects of less than half of the characteristic diameter are taken for noise
SMALLEST_SHARE = 0.5
CHANCE_PERCENTILE = 95


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
    return SubObjectFingerprint(_share(fine, usual, second, spacing), tuple(by_chance))


def object_levels(cases: Sequence[CaseFingerprint], n_parts: Sequence[int]) -> tuple[int, str]:
    """How many levels start from objects within objects, and why.

    Level 1 does if it has two parts and there is one channel. Level 2 does if it has more and if the cases' median
    share of sub-objects exceeds the 95th percentile of all surrogates' shares; level 3 follows if it has still more.

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
    if share <= chance:
        return 1, f"{found}, no more than the {100 * chance:.2g} % of surrogates"
    rising = 2 + (len(n_parts) >= MAX_OBJECT_LEVELS and n_parts[2] > n_parts[1])
    return rising, f"{found}, {100 * chance:.2g} % of surrogates"


def _share(
    volume: npt.NDArray[np.floating[Any]],
    usual: Usual,
    min_voxels: float,
    spacing: tuple[float, float, float],
) -> float:
    return round(share_of_sub_objects(volume, usual, min_voxels, spacing), 5)
