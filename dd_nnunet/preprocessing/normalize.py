"""Intensities to [0,1]."""

import numpy as np

from dd_nnunet.core.case import FloatArray
from dd_nnunet.core.plan import NormalizationPlan
from dd_nnunet.regions.foreground import Mask


def intensity_range(channel: FloatArray, foreground: Mask, plan: NormalizationPlan) -> tuple[float, float]:
    """The raw intensities that become 0 and 1: a window, the extremes, or two percentiles of the foreground.

    Args:
        channel: [Z,Y,X] raw intensities.
        foreground: [Z,Y,X] bool; where it is empty all voxels count.
        plan: which percentiles, or which window; "min_max" takes the smallest and the largest of all voxels.
    """
    if plan.scheme == "min_max":
        return float(channel.min()), float(channel.max())
    if plan.window is not None:
        return plan.window
    voxels = channel[foreground] if foreground.any() else channel
    low, high = np.percentile(voxels, (plan.lower_percentile, plan.upper_percentile))
    return float(low), float(high)


def scale_to_unit(channel: FloatArray, limits: tuple[float, float]) -> FloatArray:
    """Map `limits` to 0 and 1 and clip; a range of no width gives zeros.

    Args:
        channel: raw intensities.
        limits: raw intensities of 0 and of 1.

    Returns:
        float32 in [0,1], same shape.
    """
    low, high = limits
    if high <= low:
        return np.zeros(channel.shape, dtype=np.float32)
    scaled = np.empty(channel.shape, dtype=np.float32)
    # slice by slice: the computation is in float64, which would be twice the channel
    for index, raw in enumerate(channel):
        scaled[index] = np.clip((raw.astype(np.float64) - low) / (high - low), 0, 1)
    return scaled
