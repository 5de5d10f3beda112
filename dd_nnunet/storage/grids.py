"""Do two volumes lie on the same grid? If not, labels can be carried to the other."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK

from dd_nnunet.core.case import Geometry
from dd_nnunet.core.errors import UserError

MAX_SPACING_DIFFERENCE = 1e-3
MAX_SHIFT_VOXELS = 1e-2
# below these, headers differ by rounding only
ROUNDING_SPACING = 1e-6
ROUNDING_SHIFT_VOXELS = 1e-4
RESAMPLE = "resample it onto the grid of the other"
LabelArray = npt.NDArray[np.integer[Any]]


class ShiftedGridError(UserError):
    """Size and spacing agree, origin or direction do not."""


def compare_grids(
    first_file: Path, first: Geometry, file: Path, geometry: Geometry, allow_shift: bool = False
) -> tuple[str, ...]:
    """Refuse a volume on another grid than the first, and say where it differs by little.

    Args:
        first_file: to compare with, named in errors.
        first: where its voxels lie.
        file: to compare, named in errors.
        geometry: where its voxels lie.
        allow_shift: only warn of another origin or direction, however far off.

    Returns:
        Warnings: spacing off by up to 0.1 %, corners off by up to 1 % of a voxel.

    Raises:
        UserError: another size or spacing, naming both files; `ShiftedGridError` for another position.
    """
    against = f"{first_file.name} has"
    if geometry.size_xyz != first.size_xyz:
        raise UserError(file, f"has the size {geometry.size_xyz}, {against} {first.size_xyz}", RESAMPLE)
    spacing_difference = _spacing_difference(first, geometry)
    if spacing_difference > MAX_SPACING_DIFFERENCE:
        a, b = _shown(geometry.spacing_xyz_mm), _shown(first.spacing_xyz_mm)
        raise UserError(file, f"has the spacing {a} mm, {against} {b} mm", RESAMPLE)
    shift = _largest_shift_voxels(first, geometry)
    away = f"lies up to {shift:.3g} voxels away from {first_file.name} (origin or direction)"
    if shift > MAX_SHIFT_VOXELS and not allow_shift:
        raise ShiftedGridError(file, away, RESAMPLE)
    warnings = []
    if spacing_difference > ROUNDING_SPACING:
        warnings.append(
            f"{file}: its spacing differs by {spacing_difference:.2g} from that of {first_file.name}"
        )
    if shift > MAX_SHIFT_VOXELS:
        warnings.append(f"{file}: {away}, and is taken as if it lay there")
    elif shift > ROUNDING_SHIFT_VOXELS:
        warnings.append(f"{file}: lies up to {shift:.2g} voxels away from {first_file.name}")
    return tuple(warnings)


def resample_labels(labels_zyx: LabelArray, geometry: Geometry, target: Geometry) -> LabelArray:
    """Carry labels [Z,Y,X] to another grid by the nearest voxel; what lies outside becomes 0."""
    image = SimpleITK.GetImageFromArray(labels_zyx)
    image.SetSpacing(geometry.spacing_xyz_mm)
    image.SetOrigin(geometry.origin_xyz_mm)
    image.SetDirection(geometry.direction)
    resampler = SimpleITK.ResampleImageFilter()
    resampler.SetInterpolator(SimpleITK.sitkNearestNeighbor)
    resampler.SetSize(target.size_xyz)
    resampler.SetOutputSpacing(target.spacing_xyz_mm)
    resampler.SetOutputOrigin(target.origin_xyz_mm)
    resampler.SetOutputDirection(target.direction)
    resampled: LabelArray = SimpleITK.GetArrayFromImage(resampler.Execute(image))
    return resampled


def _spacing_difference(a: Geometry, b: Geometry) -> float:
    """The largest relative difference over the axes."""
    pairs = zip(a.spacing_xyz_mm, b.spacing_xyz_mm, strict=True)
    return max(abs(s - t) / min(s, t) for s, t in pairs)


def _largest_shift_voxels(a: Geometry, b: Geometry) -> float:
    """How far the corners lie apart, in the smallest spacing of `a`; spacing is compared elsewhere."""
    spacing = np.array(a.spacing_xyz_mm)
    extent_mm = (np.array(a.size_xyz) - 1) * spacing
    corners_mm = np.array(list(itertools.product((0.0, 1.0), repeat=3))) * extent_mm
    places = [corners_mm @ np.reshape(g.direction, (3, 3)).T + g.origin_xyz_mm for g in (a, b)]
    return float(np.linalg.norm(places[0] - places[1], axis=1).max() / spacing.min())


def _shown(lengths: tuple[float, ...]) -> str:
    return "×".join(f"{length:g}" for length in lengths)
