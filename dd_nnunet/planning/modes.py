"""How many kinds of intensity a volume has, and how far apart the two largest are."""

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage, signal

Floats = npt.NDArray[np.floating[Any]]
N_BINS = 256
# peaks closer than this, in units of the intensity range, are one
BANDWIDTH = 0.02
MIN_PROMINENCE = 0.02
MAX_SEPARATION = 100.0


def intensity_modes(values: Floats) -> tuple[int, float]:
    """Count the peaks of the intensity distribution and measure how well the two largest classes separate.

    The histogram over [0,1] is smoothed with a Gaussian of sd 0.02. A peak counts if it rises by a fiftieth of
    the highest peak above the valleys beside it. The valleys between peaks divide the values into classes.

    Args:
        values: denoised intensities in [0,1], any shape; values outside are clipped.

    Returns:
        The number of peaks (at least 1) and Ashman's D = √2 |μ₁ − μ₂| / √(σ₁² + σ₂²) of the two classes with
        most voxels, at most 100; 0 with a single peak. Two classes are told apart from D = 2 on.

    Source: Ashman, Bird & Zepf 1994 (doi 10.1086/117248).
    """
    values = np.clip(values.ravel(), 0, 1)
    counts, edges = np.histogram(values, N_BINS, (0.0, 1.0))
    density = ndimage.gaussian_filter1d(counts.astype(np.float64), BANDWIDTH * N_BINS, mode="constant")
    # zeros at both ends, so that a peak at 0 or 1 is one
    padded = np.pad(density, 1)
    peaks, _ = signal.find_peaks(padded, prominence=MIN_PROMINENCE * padded.max())
    peaks = peaks - 1
    if len(peaks) < 2:
        return 1, 0.0
    valleys = [first + int(np.argmin(density[first:last])) for first, last in itertools.pairwise(peaks)]
    classes = np.digitize(values, edges[valleys])
    first, second = np.argsort(np.bincount(classes, minlength=len(peaks)))[::-1][:2]
    return len(peaks), _separation(values[classes == first], values[classes == second])


def _separation(first: Floats, second: Floats) -> float:
    distance = abs(float(first.mean() - second.mean()))
    spread = float(np.sqrt(first.var() + second.var()))
    return MAX_SEPARATION if spread == 0 else min(np.sqrt(2) * distance / spread, MAX_SEPARATION)
