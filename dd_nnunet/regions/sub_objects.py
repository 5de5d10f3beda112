"""Objects inside a region: compact groups of voxels that are not as the region usually is."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

from dd_nnunet.regions.foreground import Mask
from dd_nnunet.regions.intensity_classes import class_thresholds
from dd_nnunet.regions.morphology import (
    Box,
    Labels,
    ball,
    closed,
    components,
    dilated,
    eroded,
    filled,
    opened,
    without_small,
)

Floats = npt.NDArray[np.floating[Any]]
SD_PER_MAD = 1.4826
MIN_REGION_VOXELS = 50
MIN_CLASS_VOXELS = 20
SMALLEST_SD = 1e-3
# chosen with the labels of synthetic cells that no result is reported for (decision 0015)
RIM = 1.5
UNUSUAL_SD = 2.5
CLASS_SHARE = 0.15
HEIGHT_SHARE = 0.5
MIN_HEIGHT_SD = 1.3
REACH = 2.0
DEPTH_SMOOTHING = 0.7
DEPTH_OF_SADDLE = 0.75
CORE_QUANTILE, CORE_SHARE = 0.75, 0.6


@dataclass(frozen=True)
class Usual:
    """What a region is like, the sub-objects in it left aside.

    Args:
        inside: [Z,Y,X] bool, the region without its rim, which lies between two intensities.
        median: of the intensities there.
        sd: robust, of the same.
    """

    inside: Mask
    median: float
    sd: float

    @classmethod
    def of(cls, volume: Floats, region: Mask, spacing_zyx_mm: tuple[float, float, float]) -> "Usual | None":
        """Measure a region [Z,Y,X]; None if fewer than 50 voxels are left without the rim."""
        inside = eroded(region, ball(RIM, spacing_zyx_mm))
        values = volume[inside]
        if len(values) < MIN_REGION_VOXELS:
            return None
        median = float(np.median(values))
        sd = SD_PER_MAD * float(np.median(np.abs(values - median)))
        return cls(inside, median, max(sd, SMALLEST_SD))

    def unusual(self, volume: Floats, sign: int) -> Mask:
        """Voxels inside that are far brighter (sign 1) or darker (sign -1) than usual."""
        mask: Mask = self.inside & (sign * (volume - self.median) > UNUSUAL_SD * self.sd)
        return mask


def find_sub_objects(
    volume: Floats, usual: Usual, min_voxels: float, spacing_zyx_mm: tuple[float, float, float]
) -> Labels:
    """Objects in a region, bright or dark, touching ones apart.

    What is unusual is closed, filled and opened with a ball of one voxel. Of each component the outline is then moved
    to half of its own height over the region's median, where the blur of its edge puts it.

    Args:
        volume: [Z,Y,X], denoised.
        usual: what the region is like.
        min_voxels: smaller ones are noise.
        spacing_zyx_mm: of the volume.

    Returns:
        [Z,Y,X] 1 … n, 0 where there is none.
    """
    unit, reach = ball(1.0, spacing_zyx_mm), ball(REACH, spacing_zyx_mm)
    unusual = usual.unusual(volume, 1) | usual.unusual(volume, -1)
    rough = filled(closed(unusual, unit) & usual.inside)
    rough = without_small(opened(rough, unit), min_voxels)
    outlined = np.zeros_like(rough)
    labels, _ = ndimage.label(rough)
    # room for the reach, the closing and the opening
    for _, box, mask in components(labels, max(reach.shape)):
        sign = 1 if np.median(volume[box][mask]) >= usual.median else -1
        heights = sign * (volume[box] - usual.median) / usual.sd
        above = (heights > _outline_height(heights[mask])) | (mask & (heights < -UNUSUAL_SD))
        grown = above & usual.inside[box] & dilated(mask, reach)
        outlined[box] |= opened(filled(closed(grown, unit) & usual.inside[box]), unit)
    return split_touching(without_small(outlined, min_voxels))


def find_cores(
    volume: Floats, mask: Mask, usual: Usual, min_voxels: float, spacing_zyx_mm: tuple[float, float, float]
) -> Iterator[tuple[Box, Mask]]:
    """What lies inside an object and differs from its own ground intensity, bright or dark.

    A component of unusual voxels is cut at a share of its own height, so that the blur around it stays out.

    Args:
        volume: [Z,Y,X], denoised, the box of the object.
        mask: [Z,Y,X], where the object is in it.
        usual: what the object lies in.
        min_voxels: smaller ones are noise.
        spacing_zyx_mm: of the volume.

    Yields:
        The box of each in `volume`, and where it is in that box.
    """
    sign = 1 if np.median(volume[mask]) >= usual.median else -1
    heights = sign * (volume - usual.median) / usual.sd
    # the rim lies between the ground and the surroundings
    inner = eroded(np.pad(mask, 1), ball(1.0, spacing_zyx_mm))[1:-1, 1:-1, 1:-1]
    core_of = inner if inner.sum() >= MIN_CLASS_VOXELS else mask
    ground = _ground_height(heights[core_of])
    ground = float(np.median(heights[core_of])) if ground is None else ground
    for difference in (heights - ground, ground - heights):
        pieces, _ = ndimage.label(mask & (difference > UNUSUAL_SD))
        for _, box, piece in components(pieces):
            height = difference[box]
            core = piece & (height > CORE_SHARE * np.quantile(height[piece], CORE_QUANTILE))
            is_rim = 2 * (core & inner[box]).sum() < core.sum()
            if core.sum() >= max(min_voxels, 1) and not is_rim:
                yield box, core


def share_of_sub_objects(
    volume: Floats, usual: Usual, min_voxels: float, spacing_zyx_mm: tuple[float, float, float]
) -> float:
    """How much of a region is in compact unusual groups, without closing, filling or moving their outlines."""
    unit = ball(1.0, spacing_zyx_mm)
    groups = opened(usual.unusual(volume, 1), unit) | opened(usual.unusual(volume, -1), unit)
    return float(without_small(groups, min_voxels).sum() / usual.inside.sum())


def _ground_height(heights: Floats) -> float | None:
    """The lowest common kind of intensity in an object that is higher than its surroundings by one sd."""
    if len(heights) < MIN_CLASS_VOXELS:
        return None
    kind = np.digitize(heights, class_thresholds(heights, 3))
    of_kinds = [heights[kind == number] for number in range(3)]
    means = [float(of.mean()) for of in of_kinds if len(of) > CLASS_SHARE * len(heights)]
    return min((mean for mean in means if mean > 1), default=None)


def _outline_height(heights: Floats) -> float:
    ground = _ground_height(heights)
    return UNUSUAL_SD if ground is None else max(HEIGHT_SHARE * ground, MIN_HEIGHT_SD)


def split_touching(mask: Mask) -> Labels:
    """Cut a mask [Z,Y,X] where it is thin: watershed of the depth under its outline; pieces 1 … n."""
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), DEPTH_SMOOTHING) * mask
    peaks = h_maxima(depth, DEPTH_OF_SADDLE) > 0
    # what is too flat to have a peak is one object
    whole, n_whole = ndimage.label(mask)
    flat = np.isin(np.arange(n_whole + 1), whole[peaks], invert=True)
    markers, _ = ndimage.label(peaks | (mask & flat[whole]))
    return np.asarray(watershed(-depth, markers, mask=mask), dtype=np.intp)
