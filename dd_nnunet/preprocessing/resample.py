"""Another grid over the same box of space: voxels are cells, so the outer edges stay where they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dd_nnunet.core.case import FloatArray
from dd_nnunet.core.plan import Zyx
from dd_nnunet.planning.resolution import AVERAGED_FROM

ANISOTROPY = 3.0
CUBIC, LINEAR, NEAREST = 3, 1, 0
Array = npt.NDArray[Any]
Index = npt.NDArray[np.intp]


def coarse_axis(spacing_zyx_mm: Sequence[float]) -> int | None:
    """The axis whose spacing is over 3 times that of every other axis, or None.

    Such an axis is resampled apart, by the nearest slice: between slices this far apart an interpolation
    would invent structure (after nnU-Net, Isensee et al. 2021, doi 10.1038/s41592-020-01008-z: its comparison is
    that for the target spacing, with all other axes, not only with the finest).
    """
    axis = int(np.argmax(spacing_zyx_mm))
    others = [s for i, s in enumerate(spacing_zyx_mm) if i != axis]
    return axis if spacing_zyx_mm[axis] > ANISOTROPY * max(others) else None


def resample_image(volume: FloatArray, shape_zyx: Zyx, apart: int | None) -> FloatArray:
    """Resample intensities with cubic splines in the axes that change; `apart` takes the nearest slice.

    An axis that gets at most half of its voxels is averaged over the new voxels instead.

    Args:
        volume: [Z,Y,X] float32.
        shape_zyx: the new shape; an unchanged shape returns the volume as it is.
        apart: the coarse axis, or None.
    """
    if volume.shape == shape_zyx:
        return volume
    if apart is not None:
        volume = resample_axis(volume, apart, shape_zyx[apart], NEAREST)
    for axis, new in enumerate(shape_zyx):
        if volume.shape[axis] >= AVERAGED_FROM * new:
            volume = average_axis(volume, axis, new)
    factors = [new / old for new, old in zip(shape_zyx, volume.shape, strict=True)]
    if all(factor == 1 for factor in factors):
        return volume
    if apart is None:
        result = _zoom(volume, factors)
    else:
        slices = [
            _zoom(s, [f for i, f in enumerate(factors) if i != apart]) for s in np.moveaxis(volume, apart, 0)
        ]
        result = np.moveaxis(np.stack(slices), 0, apart)
    assert result.shape == shape_zyx
    return result


def _zoom(array: FloatArray, factors: Sequence[float]) -> FloatArray:
    zoomed: FloatArray = ndimage.zoom(array, factors, order=CUBIC, mode="nearest", grid_mode=True)
    return zoomed


def average_axis(volume: FloatArray, axis: int, new_size: int) -> FloatArray:
    """Every new voxel is the mean of the old ones that it covers; those at its rim count by their share.

    Args:
        volume: [Z,Y,X] float32.
        axis: to resample.
        new_size: voxels of the new axis, at most the old ones.
    """
    old_size = volume.shape[axis]
    edges = np.arange(new_size + 1) * (old_size / new_size)
    below = np.minimum(edges.astype(np.intp), old_size - 1)
    share = edges - below
    apart = 1 if axis == 0 else 0
    shape = [new_size if i == axis else n for i, n in enumerate(volume.shape)]
    result = np.empty(shape, dtype=np.float32)
    # slice by slice: the sums are in float64
    for old, new in zip(np.moveaxis(volume, apart, 0), np.moveaxis(result, apart, 0), strict=True):
        lines = np.moveaxis(old, 0 if axis == 0 else axis - 1, -1).astype(np.float64)
        up_to = np.cumsum(lines, axis=-1) - lines
        integral = up_to[..., below] + lines[..., below] * share
        means = np.diff(integral, axis=-1) * (new_size / old_size)
        np.moveaxis(new, 0 if axis == 0 else axis - 1, -1)[...] = means
    return result


def resample_axis(array: Array, axis: int, new_size: int, order: int) -> Array:
    """Resample one axis by the nearest voxel (order 0) or linearly (order 1), clamped at the edges.

    Args:
        array: any shape.
        axis: to resample.
        new_size: voxels of the new axis.
        order: 0 or 1.
    """
    return neighbours(array.shape[axis], new_size, order).blend(array, axis)


@dataclass(frozen=True)
class Neighbours:
    """Between which two old voxels of an axis each new one lies.

    Args:
        lower: [N] old voxel before it.
        upper: [N] old voxel behind it.
        weight: [N] share of the upper one, in [0,1).
    """

    lower: Index
    upper: Index
    weight: FloatArray

    @property
    def needed(self) -> slice:
        """The old voxels that take part."""
        return slice(int(self.lower[0]), int(self.upper[-1]) + 1)

    def blend(self, array: Array, axis: int, first: int = 0) -> Array:
        """The new voxels.

        Args:
            array: any shape.
            axis: to resample.
            first: the old voxel that the array begins with on this axis.
        """
        if not self.weight.any():
            return array.take(self.lower - first, axis)
        shape = [1] * array.ndim
        shape[axis] = len(self.weight)
        w = self.weight.reshape(shape)
        return array.take(self.lower - first, axis) * (1 - w) + array.take(self.upper - first, axis) * w


def neighbours(old_size: int, new_size: int, order: int, part: slice = slice(None)) -> Neighbours:
    """The neighbours of new voxels on an axis.

    Args:
        old_size: voxels of the old axis.
        new_size: voxels of the whole new axis.
        order: 0, the nearest voxel, or 1, the two that a linear interpolation mixes.
        part: which voxels of the new axis.
    """
    # the centre of new cell i lies at (i + 1/2) · old/new in units of old cells
    centres = (np.arange(new_size)[part] + 0.5) * (old_size / new_size) - 0.5
    centres = np.clip(centres, 0, old_size - 1)
    if order == NEAREST:
        # a half is rounded up, always, so that every old voxel gets its share of new ones
        nearest = np.floor(centres + 0.5).astype(np.intp)
        return Neighbours(nearest, nearest, np.zeros(len(nearest), dtype=np.float32))
    lower = np.floor(centres).astype(np.intp)
    upper = np.minimum(lower + 1, old_size - 1)
    return Neighbours(lower, upper, (centres - lower).astype(np.float32))
