"""Which levels start from objects within objects: those of volumes that hold more of them than chance does."""

from collections.abc import Sequence

import numpy as np

from dd_nnunet.core.fingerprint import CaseFingerprint, SubObjectFingerprint
from dd_nnunet.core.level_plan import MAX_OBJECT_LEVELS

# objects of less than half of the characteristic diameter are taken for noise
SMALLEST_SHARE = 0.5
CHANCE_PERCENTILE = 95
# of level 2, for which both starts are compared; other numbers go by the nearest
COMPARED_PARTS = (3, 4, 5)


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
