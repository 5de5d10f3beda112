"""How noisy a volume is, seen from its finest differences."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dd_nnunet.regions.foreground import Mask

# the median absolute value of a standard normal variable
MAD_OF_NORMAL = 0.6744897501960817
MIN_COEFFICIENTS = 8
SMOOTHING_VOXELS = 1.0


def noise_sd(volume: npt.NDArray[np.floating[Any]], foreground: Mask) -> float:
    """Robust standard deviation of white noise, from the diagonal Haar details of 2 x 2 x 2 blocks.

    A detail is the sum of a block's voxels with alternating signs along the three axes, over √8: planes and
    edges along an axis cancel, corners are rare, and white noise keeps its standard deviation. The median of
    its absolute value ignores the rare ones. Noise that is correlated between neighbours is underestimated:
    the result is the noise of the voxel scale.

    Args:
        volume: [Z,Y,X].
        foreground: [Z,Y,X] bool; only blocks that lie inside count.

    Returns:
        In the unit of the volume; 0 if fewer than 8 blocks lie inside.

    Source: Donoho & Johnstone 1994 (doi 10.1093/biomet/81.3.425), in three dimensions.
    """
    details = volume.astype(np.float64)
    inside = foreground
    for axis in range(3):
        even, odd = _pairs(details, axis)
        details = (even - odd) / np.sqrt(2)
        first, second = _pairs(inside, axis)
        inside = first & second
    values = np.abs(details[inside])
    return float(np.median(values) / MAD_OF_NORMAL) if values.size >= MIN_COEFFICIENTS else 0.0


def smoothed(volume: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    """A Gaussian of one voxel takes most noise away: enough for what is counted or compared voxel by voxel.

    Args:
        volume: [Z,Y,X].
    """
    result: npt.NDArray[np.float32] = ndimage.gaussian_filter(volume.astype(np.float32), SMOOTHING_VOXELS)
    return result


def _pairs(array: npt.NDArray[Any], axis: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    n = array.shape[axis] // 2 * 2
    return array.take(range(0, n, 2), axis), array.take(range(1, n, 2), axis)
