"""A raw volume to a prepared case, and a prediction on the prepared grid back to the raw one."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from dd_nnunet.core.case import CaseProperties, FloatArray, PreparedCase, Volume
from dd_nnunet.core.part_tree import PartTree
from dd_nnunet.core.plan import ConfigurationPlan, Zyx
from dd_nnunet.planning.resolution import resampled_shape
from dd_nnunet.preprocessing.normalize import intensity_range, scale_to_unit
from dd_nnunet.preprocessing.resample import (
    LINEAR,
    NEAREST,
    coarse_axis,
    neighbours,
    resample_axis,
    resample_image,
)
from dd_nnunet.regions.foreground import bounding_box, foreground_mask

SLAB_VOXELS = 2**20
Labels = npt.NDArray[Any]


def preprocess_case(volume: Volume, case_id: str, configuration: ConfigurationPlan) -> PreparedCase:
    """Crop to what is not background (if so planned), scale to [0,1], resample to the planned spacing.

    A constant background becomes 0, whether it is darker or brighter than what it surrounds.

    Args:
        volume: [C,Z,Y,X] raw intensities, one channel per entry of the plan's normalization.
        case_id: kept in the properties.
        configuration: spacing, normalization and whether to crop.
    """
    mask = foreground_mask(volume.array)
    start, stop = bounding_box(mask) if configuration.crop else ((0, 0, 0), volume.geometry.shape_zyx)
    box = tuple(map(slice, start, stop))
    cropped_mask = mask[box]
    spacing = volume.geometry.spacing_zyx_mm
    target = configuration.spacing_zyx_mm
    shape = resampled_shape(cropped_mask.shape, spacing, target)
    apart = _apart(spacing, target)
    prepared = np.empty((len(volume.array), *shape), dtype=np.float32)
    limits, warnings = [], list(volume.warnings)
    for index, (channel, plan) in enumerate(zip(volume.array, configuration.normalization, strict=True)):
        cropped = channel[box]
        limits.append(intensity_range(cropped, cropped_mask, plan))
        if limits[-1][0] == limits[-1][1]:
            warnings.append(f"channel {index} is constant between its percentiles; it became all zero")
        scaled = scale_to_unit(cropped, limits[-1])
        if configuration.crop:
            np.multiply(scaled, cropped_mask, out=scaled)
        # splines overshoot at edges, hence the second clip
        np.clip(resample_image(scaled, shape, apart), 0, 1, out=prepared[index])
    properties = CaseProperties(
        case_id=case_id,
        geometry=volume.geometry,
        crop_start_zyx=start,
        crop_stop_zyx=stop,
        prepared_shape_zyx=shape,
        prepared_spacing_zyx_mm=target,
        intensity_ranges=tuple(limits),
        warnings=tuple(warnings),
    )
    return PreparedCase(prepared, properties)


def restore_labels(labels_zyx: Labels, properties: CaseProperties) -> Labels:
    """Carry part numbers to the raw grid by the nearest voxel; part 0 outside the crop.

    Args:
        labels_zyx: [Z,Y,X] of the prepared shape.
        properties: of the case.

    Returns:
        [Z,Y,X] of the raw shape, same type.
    """
    if labels_zyx.shape != (shape := properties.prepared_shape_zyx):
        raise ValueError(f"{properties.case_id}: shape {labels_zyx.shape} is not the prepared {shape}")
    raw = np.zeros(properties.geometry.shape_zyx, dtype=labels_zyx.dtype)
    inside = labels_zyx
    for axis, size in enumerate(_crop_shape(properties)):
        inside = resample_axis(inside, axis, size, NEAREST)
    raw[_crop_slices(properties)] = inside
    return raw


def restore_slices(
    slices: Iterable[FloatArray], tree: PartTree, properties: CaseProperties
) -> tuple[Labels, ...]:
    """Carry part probabilities to the raw grid, linearly, and take the most probable parts that nest.

    Works in slabs along Z, so that never more than a few slices of probabilities are held on either grid.

    Args:
        slices: [K,Y,X] along Z, of the prepared shape; of equal probabilities the first part wins.
        tree: which part lies in which; K are the parts of all its levels.
        properties: of the case.

    Returns:
        Per level [Z,Y,X] part numbers of the raw shape, uint8 or, for more than 256 parts, uint16; part 0 outside
        the crop.
    """
    number_type = np.uint8 if max(tree.n_parts) <= 256 else np.uint16
    raw: tuple[Labels, ...] = tuple(
        np.zeros(properties.geometry.shape_zyx, dtype=number_type) for _ in tree.n_parts
    )
    crop, shape = _crop_slices(properties), _crop_shape(properties)
    apart = _apart(properties.geometry.spacing_zyx_mm, properties.prepared_spacing_zyx_mm)
    orders = [NEAREST if axis == apart else LINEAR for axis in range(3)]
    prepared = _PassingSlices(slices)
    for slab in _slabs(shape, tree.n_channels):
        near = neighbours(properties.prepared_shape_zyx[0], shape[0], orders[0], slab)
        part = near.blend(prepared.take(near.needed), 1, near.needed.start)
        part = resample_axis(part, 2, shape[1], orders[1])
        part = resample_axis(part, 3, shape[2], orders[2])
        for of_level, decided in zip(raw, tree.decide(part), strict=True):
            of_level[crop][slab] = decided
    return raw


class _PassingSlices:
    """An array [K,Z,Y,X] that arrives slice by slice along Z; slices that were passed are let go."""

    def __init__(self, slices: Iterable[FloatArray]) -> None:
        self._arriving = enumerate(slices)
        self._held: dict[int, FloatArray] = {}

    def take(self, wanted: slice) -> FloatArray:
        """Some slices, [K,z,Y,X]; a later call begins where this one began, or behind."""
        self._held = {z: held for z, held in self._held.items() if z >= wanted.start}
        while wanted.stop - 1 not in self._held:
            z, arrived = next(self._arriving, (None, None))
            if z is None or arrived is None:
                raise ValueError(f"no slice {wanted.stop - 1} arrived")
            if z >= wanted.start:
                self._held[z] = arrived
        return np.stack([self._held[z] for z in range(wanted.start, wanted.stop)], axis=1)


def _apart(raw_spacing: tuple[float, float, float], target: tuple[float, float, float]) -> int | None:
    axis = coarse_axis(raw_spacing)
    return coarse_axis(target) if axis is None else axis


def _slabs(shape: Zyx, n_parts: int) -> Iterator[slice]:
    thickness = max(1, SLAB_VOXELS // (n_parts * shape[1] * shape[2]))
    for z in range(0, shape[0], thickness):
        yield slice(z, min(z + thickness, shape[0]))


def _crop_shape(properties: CaseProperties) -> Zyx:
    (z0, y0, x0), (z1, y1, x1) = properties.crop_start_zyx, properties.crop_stop_zyx
    return (z1 - z0, y1 - y0, x1 - x0)


def _crop_slices(properties: CaseProperties) -> tuple[slice, slice, slice]:
    (z0, y0, x0), (z1, y1, x1) = properties.crop_start_zyx, properties.crop_stop_zyx
    return (slice(z0, z1), slice(y0, y1), slice(x0, x1))
