"""Whether a volume is its own mirror image, and which of its axes runs from left to right."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dd_nnunet.core.fingerprint import CaseFingerprint
from dd_nnunet.core.plan import Decision
from dd_nnunet.core.units import counted

Floats = npt.NDArray[np.floating[Any]]


def mirror_correlations(volume: Floats) -> tuple[float, float, float]:
    """Pearson correlation between a volume and its mirror image, per axis.

    Args:
        volume: [Z,Y,X], cropped to the object, so that the middle of the box is about that of the object.

    Returns:
        For z, y, x: 1 for perfect symmetry, about 0 for none, down to −1; 0 for constant volumes.
    """
    centred = volume - volume.mean(dtype=np.float64)
    power = float((centred**2).sum())
    if power == 0:
        return (0.0, 0.0, 0.0)
    z, y, x = (float((centred * np.flip(centred, axis)).sum()) / power for axis in range(3))
    return (z, y, x)


def explain_left_right(cases: Sequence[CaseFingerprint], recipe: Literal["full", "plain"]) -> Decision:
    """Where left and right lie, how alike they are, and what that means for the parts.

    Args:
        cases: those that are not constant.
        recipe: of the training; "plain" mirrors nothing.
    """
    stated = [case for case in cases if case.left_right_axis is not None]
    told = "training mirrors every axis, so that no part is of one side only"
    if recipe == "plain":
        told = "training mirrors nothing, so that parts may be of one side only"
    if not stated:
        return Decision("left and right", "unknown", f"the files state no orientation; {told}")
    axes = Counter("zyx"[case.left_right_axis] for case in stated if case.left_right_axis is not None)
    found = [case.left_right_correlation for case in stated if case.left_right_correlation is not None]
    # adding 0 makes a minus zero a zero
    correlation = round(float(np.median(found)), 2) + 0
    along = " or ".join(axis for axis, _ in axes.most_common())
    codes = ", ".join(
        f"{code} ({counted(count, 'case')})"
        for code, count in Counter(case.orientation for case in stated).most_common()
    )
    value = f"along array axis {along}, mirror correlation {correlation:.2f}"
    return Decision("left and right", value, f"by the orientation that the files state: {codes}; {told}")
