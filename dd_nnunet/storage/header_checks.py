"""What every volume must be in any format: 3-D, one finite number per voxel, a spacing, all its bytes."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from dd_nnunet.core.errors import UserError

# what is odd about a file but can be read, in words that name it
Oddities = tuple[str, ...]
LARGEST_SIZE = 2**31 - 1
COPY_AGAIN = "copy or export the file again"
SPLIT = (
    "write every time point or channel as a file of its own, case_0000, case_0001, … "
    "(e.g. SimpleITK: WriteImage(image[:, :, :, 0], …))"
)


class NotFiniteError(UserError):
    """Voxels that are no numbers, which a reading plan may allow."""


def refuse_2d(path: Path) -> NoReturn:
    """Raise for an image of one slice only."""
    raise UserError(path, "is a 2-D image, 3-D volumes are expected", "stack the slices into one file")


def refuse_4d(path: Path, n_volumes: int) -> NoReturn:
    """Raise for a series of volumes in one file."""
    raise UserError(path, f"is 4-D ({n_volumes} volumes in one file), 3-D is expected", SPLIT)


def refuse_vector(path: Path, n_components: int) -> NoReturn:
    """Raise for vector and colour images."""
    raise UserError(path, f"has {n_components} components per voxel (vector or colour), 1 is expected", SPLIT)


def refuse_complex(path: Path) -> NoReturn:
    """Raise for complex numbers."""
    raise UserError(path, "holds complex numbers", "write magnitude (or real part) as real numbers")


def refuse_sheared(path: Path) -> NoReturn:
    """Raise for axes that are not perpendicular."""
    raise UserError(
        path,
        "has a sheared grid: its axes are not perpendicular",
        "resample it onto a straight one, e.g. nibabel.processing.resample_to_output(nibabel.load(FILE))",
    )


def refuse_type(path: Path, name: object) -> NoReturn:
    """Raise for numbers that are not read."""
    raise UserError(
        path, f"has the voxel type {name}, which is not supported", "convert it to int16 or float32"
    )


def check_sizes(path: Path, sizes: Sequence[int]) -> None:
    """Raise unless every axis has at least one voxel, and fewer than readers count."""
    if any(not 1 <= size <= LARGEST_SIZE for size in sizes):
        raise UserError(path, f"has the sizes {tuple(sizes)}, at least 1 is expected", COPY_AGAIN)


def check_spacing(path: Path, spacing_xyz: Sequence[float]) -> Oddities:
    """Raise for a spacing of zero, NaN or infinity; a negative one is odd."""
    if any(not math.isfinite(length) or length == 0 for length in spacing_xyz):
        shown = ", ".join(f"{length:g}" for length in spacing_xyz)
        raise UserError(
            path, f"has the spacing ({shown}), numbers above 0 are expected", "correct its header"
        )
    if any(length < 0 for length in spacing_xyz):
        return (f"{path}: has a negative spacing, its absolute value is taken",)
    return ()


def check_found(path: Path, expected_bytes: int, found_bytes: int, fault: str = "") -> None:
    """Raise if data is missing, or if unpacking it ended with a fault."""
    if fault or found_bytes < expected_bytes:
        reason = fault or "is cut off"
        raise UserError(path, f"{reason} ({expected_bytes} bytes expected, {found_bytes} found)", COPY_AGAIN)


def check_finite(path: Path, n_voxels: int, n_nan: int, n_infinite: int) -> None:
    """Raise if there are voxels that are no numbers."""
    if n_nan + n_infinite:
        reason = (
            f"{n_nan + n_infinite} of {n_voxels} voxels are not finite ({n_nan} NaN, {n_infinite} infinite)"
        )
        raise NotFiniteError(path, reason, "replace them by numbers in the file")
