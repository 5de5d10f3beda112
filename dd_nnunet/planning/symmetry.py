"""Whether a volume is its own mirror image."""

from typing import Any

import numpy as np
import numpy.typing as npt

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
