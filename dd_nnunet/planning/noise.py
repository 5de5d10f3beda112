"""How noisy a volume is, and how coarse its noise, seen from its finest differences."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dd_nnunet.regions.foreground import Mask

# the median absolute value of a standard normal variable
MAD_OF_NORMAL = 0.6744897501960817
MIN_COEFFICIENTS = 8
SMOOTHING_VOXELS = 1.0
# filters along an axis of the details of one voxel and of two (Haar, orthonormal)
FILTERS = {1: (1.0, -1.0), 2: (1.0, 1.0, -1.0, -1.0)}
# of the slope: objects' edges are left out, found in the volume smoothed so far
CALM_SMOOTHING_VOXELS = 1.5
CALM_SHARE = 0.5
# the slope is measured on at most so many voxels per axis around the centre
MAX_EDGE = 96
N_FREQUENCIES = 32
EXPONENTS = np.linspace(-1.0, 8.0, 37)
# noise whose power falls faster has no finite variance in 3-D: it is smooth structure
STEEPEST_NOISE = 3.0
# what is steeper is taken for no more than this, because an error of the slope would decide alone
STEEPEST_TRUSTED = 2.0


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
    details: npt.NDArray[np.floating[Any]] = volume
    inside = foreground
    for axis in range(3):
        even, odd = _pairs(details, axis)
        details = np.subtract(even, odd, dtype=np.float64)
        details /= np.sqrt(2)
        first, second = _pairs(inside, axis)
        inside = first & second
    values = np.abs(details[inside])
    return float(np.median(values) / MAD_OF_NORMAL) if values.size >= MIN_COEFFICIENTS else 0.0


def noise_slope(volume: npt.NDArray[np.floating[Any]], foreground: Mask) -> float:
    """Exponent of the noise's power spectrum f^slope, from how much its details grow from one voxel to two.

    Both are diagonal Haar details as in `noise_sd`, of the volume and of its means over 2 x 2 x 2 voxels, at every
    place in the calmer half of the volume: where the smoothed volume is flat. Edges along axes cancel, and those that
    do not are left out; of noise alone, how flat it is there says nothing about its details. Of noise with spectrum
    f^-a the variances of the two have a known ratio, which is inverted.

    Args:
        volume: [Z,Y,X].
        foreground: [Z,Y,X] bool; only details that lie inside count.

    Returns:
        0 for white noise, -1 for pink; at or below -3 the finest voxels hold smooth structure, not noise. In [-8, 1];
        0 where too little lies inside, or nothing differs.
    """
    box = tuple(
        slice(max(0, (n - MAX_EDGE) // 2), max(0, (n - MAX_EDGE) // 2) + MAX_EDGE) for n in volume.shape
    )
    values, inside = volume[box].astype(np.float64), foreground[box]
    calm = _calm(values, inside)
    fine, coarse = (_detail_sd(values, inside, scale, calm) for scale in (1, 2))
    if fine <= 0 or coarse <= 0:
        return 0.0
    growth = 2 * np.log2(coarse / fine)
    return float(-np.interp(growth, _growths(), EXPONENTS))


def whole_noise_sd(voxel_sd: float, slope: float) -> float:
    """Standard deviation of all of the noise, given that of the voxel scale and its slope.

    Slopes below -2 count as -2, which underestimates; at and below -3 there is nothing to extrapolate from.

    Args:
        voxel_sd: as `noise_sd` returns it.
        slope: as `noise_slope` returns it.

    Returns:
        In the unit of `voxel_sd`; never below it.

    Source: the integral of f^slope over all frequencies, over that of what the details let through.
    """
    exponent = min(max(-slope, 0.0), STEEPEST_TRUSTED)
    if -slope >= STEEPEST_NOISE:
        return voxel_sd
    radius, details = _frequencies()
    power = radius**-exponent
    return voxel_sd * float(np.sqrt(power.mean() / (power * details[1]).mean()))


def smoothed(volume: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    """A Gaussian of one voxel takes most noise away: enough for what is counted or compared voxel by voxel.

    Args:
        volume: [Z,Y,X].
    """
    result: npt.NDArray[np.float32] = ndimage.gaussian_filter(volume.astype(np.float32), SMOOTHING_VOXELS)
    return result


def _calm(volume: npt.NDArray[np.float64], inside: Mask) -> Mask:
    """The half of the voxels inside where the smoothed volume is flattest: [Z,Y,X]."""
    steepness = ndimage.gaussian_gradient_magnitude(volume, CALM_SMOOTHING_VOXELS)
    if not inside.any():
        return inside
    calm: Mask = inside & (steepness <= np.quantile(steepness[inside], CALM_SHARE))
    return calm


def _detail_sd(volume: npt.NDArray[np.float64], foreground: Mask, scale: int, calm: Mask) -> float:
    """Robust sd of the diagonal details of so many voxels, where they lie inside and their middle is calm."""
    details, inside = volume, foreground
    weights = np.array(FILTERS[scale]) / np.sqrt(2 * scale)
    for axis in range(3):
        if details.shape[axis] < len(weights):
            return 0.0
        details = np.tensordot(_windows(details, len(weights), axis), weights, 1)
        inside = np.asarray(_windows(inside, len(weights), axis).all(axis=-1))
    middle = tuple(slice(scale, scale + n) for n in details.shape)
    inside = inside & calm[middle]
    values = np.abs(details[inside])
    return float(np.median(values) / MAD_OF_NORMAL) if values.size >= MIN_COEFFICIENTS else 0.0


def _windows(array: npt.NDArray[Any], length: int, axis: int) -> npt.NDArray[Any]:
    return np.lib.stride_tricks.sliding_window_view(array, length, axis)


@functools.cache
def _frequencies() -> tuple[npt.NDArray[np.float64], dict[int, npt.NDArray[np.float64]]]:
    """Radius of the frequencies of one octant, in cycles per voxel, and which power the details let through."""
    along = (np.arange(N_FREQUENCIES) + 0.5) / (2 * N_FREQUENCIES)
    axes = np.meshgrid(along, along, along, indexing="ij")
    through = {scale: _passed(along, weights) for scale, weights in FILTERS.items()}
    return np.sqrt(sum(axis**2 for axis in axes)), {
        scale: gain[:, None, None] * gain[:, None] * gain for scale, gain in through.items()
    }


def _passed(frequencies: npt.NDArray[np.float64], weights: Sequence[float]) -> npt.NDArray[np.float64]:
    waves = np.exp(2j * np.pi * frequencies[:, None] * np.arange(len(weights)))
    passed: npt.NDArray[np.float64] = np.abs(waves @ np.array(weights)) ** 2 / len(weights)
    return passed


@functools.cache
def _growths() -> npt.NDArray[np.float64]:
    """log2 of the ratio of the details' variances, two voxels to one, of noise f^-a for each of `EXPONENTS`."""
    radius, details = _frequencies()
    ratios = [(radius**-a * details[2]).mean() / (radius**-a * details[1]).mean() for a in EXPONENTS]
    return np.log2(ratios)


def _pairs(array: npt.NDArray[Any], axis: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    n = array.shape[axis] // 2 * 2
    return array.take(range(0, n, 2), axis), array.take(range(1, n, 2), axis)
