"""Characteristic object diameters of a volume, found by thresholds within thresholds and openings with balls.

Level 1 is the object that Otsu's threshold separates from what lies at the border; each further level is the
smaller of the two classes that Otsu's threshold makes inside the object before. The size of a level is read
from the granulometry of its mask, that is, from how much of it survives an opening with a ball of each
radius (Matheron 1975; Serra 1982). Balls are in millimetres, by distance transforms, so that anisotropic
volumes need no resampling.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dd_nnunet.planning.rounding import rounded
from dd_nnunet.regions.foreground import Mask

Floats = npt.NDArray[np.floating[Any]]
MAX_LEVELS = 3
MAX_VOXELS = 64**3
# noise splits objects and frays their edges but never thickens them: hence an upper quantile
VOLUME_QUANTILE = 0.9
# smoothing leaves sub-objects of a tenth of the object's diameter alone and removes what is far smaller
SMOOTHING_SHARE = 1 / 16
RIM = 1.5
MIN_LEVEL_VOXELS = 50
MIN_DIAMETER_VOXELS = 2.0
MAX_SHARE_OF_PARENT = 0.9
N_BINS = 128
# of the intensity range; one threshold would decide alone what is an object
SPECTRUM_THRESHOLDS = (0.2, 0.4, 0.6, 0.8)
MAX_SPECTRUM_VOXELS = 40**3
# balls of the spectra: from two voxels to half of the smallest edge
N_SIEVES = 8
SMALLEST_SIEVE_VOXELS = 2.0
LARGEST_SIEVE_SHARE = 0.5


@dataclass(frozen=True)
class Granulometry:
    """How thick what is bright and what is dark is.

    Args:
        sieve_mm: diameters of balls, not falling.
        opening: share of what is bright that openings with these balls keep, mean over the cuts; falling.
        closing: the same of what is dark.
        bright_mm, dark_mm: medians over the cuts of the diameter that half of it survives; 0 where nothing is bright
            (dark).
    """

    sieve_mm: tuple[float, ...]
    opening: tuple[float, ...]
    closing: tuple[float, ...]
    bright_mm: float
    dark_mm: float


def characteristic_diameters(volume: Floats, spacing_zyx_mm: Sequence[float]) -> tuple[float, ...]:
    """Diameters of the object, of what it contains, and of what that contains.

    Args:
        volume: [Z,Y,X] intensities in [0,1], cropped to what is not background.
        spacing_zyx_mm: of the volume.

    Returns:
        One to three falling diameters in millimetres; none when the volume is constant. What is thinner than two
        voxels, or hardly thinner than what it lies in, is noise or a rim and ends the list.
    """
    volume, spacing = shrink(volume, spacing_zyx_mm, MAX_VOXELS)
    smallest_edge = min(n * s for n, s in zip(volume.shape, spacing, strict=True))
    mask = np.ones(volume.shape, dtype=bool)
    diameters: list[float] = []
    scale = smallest_edge
    thinnest = MIN_DIAMETER_VOXELS * float(np.prod(spacing)) ** (1 / 3)
    while len(diameters) < MAX_LEVELS:
        sd_mm = SMOOTHING_SHARE * scale
        smooth = _smooth(volume, sd_mm, spacing)
        mask = _smaller_class(smooth, _without_rim(mask, sd_mm, spacing)) if diameters else _object(smooth)
        if mask.sum() < MIN_LEVEL_VOXELS:
            break
        quantile = 1.0 if not diameters else VOLUME_QUANTILE
        diameter = thickness(mask, spacing, quantile)
        if diameters and not thinnest <= diameter <= MAX_SHARE_OF_PARENT * diameters[-1]:
            break
        diameters.append(diameter)
        scale = diameter
    return tuple(rounded(d, 4) for d in diameters)


def granulometry(volume: Floats, spacing_zyx_mm: Sequence[float]) -> Granulometry:
    """How thick what is bright and what is dark is: openings of the volume and of its negative.

    The thinner of the two are the objects, the thicker one is what they lie in. The volume is cut at four
    intensities; at each, what is above (below) is opened with balls of rising diameters, and the diameter is taken
    that half of it survives.

    Args:
        volume: [Z,Y,X] denoised intensities in [0,1].
        spacing_zyx_mm: of the volume.

    Source: granulometry by openings and closings (Matheron 1975; Serra 1982), cut by cut.
    """
    volume, spacing = shrink(volume, spacing_zyx_mm, MAX_SPECTRUM_VOXELS)
    voxel = float(np.prod(spacing)) ** (1 / 3)
    largest = LARGEST_SIEVE_SHARE * min(n * s for n, s in zip(volume.shape, spacing, strict=True))
    smallest = SMALLEST_SIEVE_VOXELS * voxel
    sieve = tuple(rounded(float(d), 4) for d in np.geomspace(smallest, max(largest, smallest), N_SIEVES))
    bright, dark = (
        [_spectrum(mask, spacing, sieve) for mask in masks if mask.sum() >= MIN_LEVEL_VOXELS]
        for masks in (
            [volume > threshold for threshold in SPECTRUM_THRESHOLDS],
            [volume <= threshold for threshold in SPECTRUM_THRESHOLDS],
        )
    )
    return Granulometry(sieve, _mean(bright), _mean(dark), _median(bright), _median(dark))


def _spectrum(
    mask: Mask, spacing_zyx_mm: Sequence[float], sieve_mm: Sequence[float]
) -> tuple[float, list[float]]:
    """The diameter that half of a mask survives, and the share of it that each ball keeps."""
    depth = _depth(mask, spacing_zyx_mm)
    edge = float(np.prod(spacing_zyx_mm)) ** (1 / 3)
    # a ball of n voxels across has its outermost voxels' centres at n/2 + 1/2 from the first voxel outside
    kept = [_opened_volume(depth, (diameter + edge) / 2, spacing_zyx_mm) for diameter in sieve_mm]
    shares = np.minimum.accumulate(np.array(kept) / mask.sum())
    return _thickness(depth, mask, spacing_zyx_mm, 0.5), shares.tolist()


def thickness(mask: Mask, spacing_zyx_mm: Sequence[float], quantile: float) -> float:
    """The diameter of the largest ball whose opening keeps over `1 - quantile` of the mask's volume.

    With quantile 1 this is the largest inscribed ball, with 0.5 the volume-weighted median thickness.
    A ball of n voxels across is measured as n voxels, and nothing as thinner than the smallest edge of a voxel;
    outside the array there is no object.

    Args:
        mask: [Z,Y,X], at least one true voxel.
        spacing_zyx_mm: of the mask.
        quantile: in [0,1].
    """
    return _thickness(_depth(mask, spacing_zyx_mm), mask, spacing_zyx_mm, quantile)


def _depth(mask: Mask, spacing_zyx_mm: Sequence[float]) -> Floats:
    """Distance of each voxel to the nearest one outside, beyond the array too: one voxel larger on all sides."""
    depth: Floats = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing_zyx_mm)
    return depth


def _thickness(depth: Floats, mask: Mask, spacing_zyx_mm: Sequence[float], quantile: float) -> float:
    radii = np.unique(depth[depth > 0])
    wanted = (1 - quantile) * mask.sum()
    low, high = 0, len(radii) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if _opened_volume(depth, float(radii[middle]), spacing_zyx_mm) > wanted:
            low = middle
        else:
            high = middle - 1
    return float(max(2 * radii[low] - np.prod(spacing_zyx_mm) ** (1 / 3), min(spacing_zyx_mm)))


def _opened_volume(depth: Floats, radius: float, spacing_zyx_mm: Sequence[float]) -> int:
    centres = depth >= radius
    if not centres.any():
        # there is nothing that scipy could measure distances to
        return 0
    # voxels nearer than the radius, as the mask's own depth counts them
    return int((ndimage.distance_transform_edt(~centres, sampling=spacing_zyx_mm) < radius).sum())


def shrink(volume: Floats, spacing_zyx_mm: Sequence[float], max_voxels: int) -> tuple[Floats, list[float]]:
    """Halve the finest axis by averaging pairs until there are at most `max_voxels`.

    Args:
        volume: [Z,Y,X].
        spacing_zyx_mm: of the volume.
        max_voxels: at least 1.

    Returns:
        The smaller volume (the same one if it is small enough) and its spacing.
    """
    spacing = list(spacing_zyx_mm)
    while volume.size > max_voxels:
        axis = min((a for a in range(3) if volume.shape[a] > 1), key=lambda a: spacing[a])
        first, second = (_every_second(volume, axis, start) for start in (0, 1))
        volume = first + second
        volume /= 2
        spacing[axis] *= 2
    return volume, spacing


def _every_second(volume: Floats, axis: int, start: int) -> Floats:
    """Of pairs along an axis, the first (start 0) or the second of each; a voxel that is left over is in none."""
    of_axis = slice(start, volume.shape[axis] // 2 * 2, 2)
    return volume[tuple(of_axis if a == axis else slice(None) for a in range(3))]


def otsu_threshold(values: Floats) -> float:
    """The threshold that maximises the variance between the two classes (Otsu 1979), over 128 bins.

    The largest value, with nothing above it, where the values differ by little more than their rounding; 0 of none.
    """
    low, high = (values.min(), values.max()) if values.size else (0.0, 0.0)
    if high - low < N_BINS * np.spacing(max(abs(low), abs(high))):
        return float(high)
    counts, edges = np.histogram(values, bins=N_BINS)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    sum_below = np.cumsum(counts * centres)[:-1]
    sum_above = (counts * centres).sum() - sum_below
    between = below * above * (sum_below / np.maximum(below, 1) - sum_above / np.maximum(above, 1)) ** 2
    return float(edges[1 + int(np.argmax(between))])


def _object(smooth: Floats) -> Mask:
    bright = smooth > otsu_threshold(smooth)
    border = np.ones(smooth.shape, dtype=bool)
    border[tuple(slice(1, -1) for _ in range(3))] = False
    mask = bright if bright[border].mean() <= 0.5 else ~bright
    filled: Mask = ndimage.binary_fill_holes(mask)
    return filled


def _smaller_class(smooth: Floats, within: Mask) -> Mask:
    values = smooth[within]
    bright = within & (smooth > otsu_threshold(values))
    dark = within & ~bright
    return bright if bright.sum() <= dark.sum() else dark


def _without_rim(mask: Mask, sd_mm: float, spacing_zyx_mm: Sequence[float]) -> Mask:
    """Leave out what smoothing mixed with the outside, or the rim would be taken for a sub-object."""
    depth = _depth(mask, spacing_zyx_mm)
    inside: Mask = depth[1:-1, 1:-1, 1:-1] > RIM * sd_mm
    return inside


def _smooth(volume: Floats, sd_mm: float, spacing_zyx_mm: Sequence[float]) -> Floats:
    smoothed: Floats = ndimage.gaussian_filter(volume, [sd_mm / s for s in spacing_zyx_mm])
    return smoothed


def _median(spectra: Sequence[tuple[float, list[float]]]) -> float:
    return rounded(float(np.median([diameter for diameter, _ in spectra])), 4) if spectra else 0.0


def _mean(spectra: Sequence[tuple[float, list[float]]]) -> tuple[float, ...]:
    if not spectra:
        return (0.0,) * N_SIEVES
    return tuple(round(float(share), 4) for share in np.mean([shares for _, shares in spectra], axis=0))
