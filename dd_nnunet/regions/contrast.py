"""How well the outlines of parts lie: by the steps of a volume that they cross."""

from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.integer[Any]]


def boundary_contrast(labels: Labels, values: npt.NDArray[np.floating[Any]]) -> float:
    """Mean step of values across outlines over the mean step everywhere.

    Args:
        labels: [Z,Y,X] parts.
        values: [C,Z,Y,X]; a step is the distance of two neighbours along an axis.

    Returns:
        1 where outlines lie no better than anywhere; 0 without outlines or steps.
    """
    across, n_across, everywhere, n_everywhere = 0.0, 0, 0.0, 0
    for axis in range(3):
        steps = np.sqrt((np.diff(values, axis=axis + 1) ** 2).sum(axis=0))
        first, second = (np.delete(labels, end, axis=axis) for end in (-1, 0))
        outline = first != second
        across += float(steps[outline].sum(dtype=np.float64))
        everywhere += float(steps.sum(dtype=np.float64))
        n_across += int(outline.sum())
        n_everywhere += steps.size
    if n_across == 0 or everywhere == 0:
        return 0.0
    return (across / n_across) / (everywhere / n_everywhere)
