"""Another grid over the same box of space: voxels are cells, so the outer edges stay where they are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dd_nnunet.core.case import FloatArray
from dd_nnunet.core.plan import Zyx

ANISOTROPY = 3.0
CUBIC, LINEAR, NEAREST = 3, 1, 0
Array = npt.NDArray[Any]
Index = npt.NDArray[np.intp]


def coarse_axis(spacing_zyx_mm: Sequence[float]) -> int | None:
    """The axis whose spacing is over 3 times that of every other axis, or None.

    Such an axis is resampled apart, by the nearest slice: between slices this far apart an interpolation
    would invent structure (nnU-Net's rule, Isensee et al. 2021, doi 10.1038/s41592-020-01008-z).
    """
    axis = int(np.argmax(spacing_zyx_mm))
    others = [s for i, s in enumerate(spacing_zyx_mm) if i != axis]
    return axis if spacing_zyx_mm[axis] > ANISOTROPY * max(others) else None


def resample_image(volume: FloatArray, shape_zyx: Zyx, apart: int | None) -> FloatArray:
    """Resample intensities with cubic splines in the axes that change; `apart` takes the nearest slice.

    Args:
        volume: [Z,Y,X] float32.
        shape_zyx: the new shape; an unchanged shape returns the volume as it is.
        apart: the coarse axis, or None.
    """
    if volume.shape == shape_zyx:
        return volume
    if apart is not None:
        volume = resample_axis(volume, apart, shape_zyx[apart], NEAREST)
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


def resample_axis(array: Array, axis: int, new_size: int, order: int, part: slice = slice(None)) -> Array:
    """Resample one axis by the nearest voxel (order 0) or linearly (order 1), clamped at the edges.

    Args:
        array: any shape.
        axis: to resample.
        new_size: voxels of the whole new axis.
        order: 0 or 1.
        part: which voxels of the new axis to compute.
    """
    lower, upper, weight = _neighbours(array.shape[axis], new_size, order, part)
    if not weight.any():
        return array.take(lower, axis)
    shape = [1] * array.ndim
    shape[axis] = len(weight)
    w = weight.reshape(shape)
    return array.take(lower, axis) * (1 - w) + array.take(upper, axis) * w


def _neighbours(old: int, new: int, order: int, part: slice) -> tuple[Index, Index, FloatArray]:
    # the centre of new cell i lies at (i + 1/2) · old/new in units of old cells
    centres = (np.arange(new)[part] + 0.5) * (old / new) - 0.5
    centres = np.clip(centres, 0, old - 1)
    if order == NEAREST:
        # a half is rounded up, always, so that every old voxel gets its share of new ones
        nearest = np.floor(centres + 0.5).astype(np.intp)
        return nearest, nearest, np.zeros(len(nearest), dtype=np.float32)
    lower = np.floor(centres).astype(np.intp)
    upper = np.minimum(lower + 1, old - 1)
    return lower, upper, (centres - lower).astype(np.float32)
