"""Raw volumes, by SimpleITK, behind the integrity gate."""

import logging
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK

from dd_nnunet.core.case import FloatArray, Geometry, Volume
from dd_nnunet.core.errors import DDError, UserError, joined
from dd_nnunet.core.plan import STRICT, ReadingPlan
from dd_nnunet.storage import header_checks
from dd_nnunet.storage.atomic import atomic_path, full_disk, write_json
from dd_nnunet.storage.grids import LabelArray, compare_grids
from dd_nnunet.storage.inflate import GZIP_ONLY, count_inflated
from dd_nnunet.storage.integrity import NIFTI_ENDINGS, check_integrity, tiff_sidecars, volume_ending
from dd_nnunet.storage.itk_image import (
    IMAGE_IO,
    TIFF_ENDINGS,
    Source,
    geometry_of,
    last_line,
    open_image,
    read_image,
    states_orientation,
    tiff_spacing_xyz_mm,
)
from dd_nnunet.storage.nifti_scan import count_volumes, find_not_finite

_logger = logging.getLogger(__name__)

# said of a TIFF
NO_SPACING = "no spacing stands beside it"
# the first byte of the voxels in NIfTI-1; it is a later one in NIfTI-2
NIFTI_VOXELS_START = 352
# up to here float32 holds every whole number
LARGEST_EXACT_FLOAT32 = 2**24


def read_volume(files: Sequence[Path], reading: ReadingPlan = STRICT) -> Volume:
    """Read one case, a file per channel.

    Args:
        files: in channel order; a 4-D NIfTI file stands there once for each of its volumes.
        reading: what is allowed although it is odd.

    Returns:
        The volume, `array` [C,Z,Y,X] float32 in raw intensities, all finite. What was odd is logged and
        listed in `warnings`. The spacing of a MRC file is in ångström, as it stands there.

    Raises:
        UserError: a file is damaged or of a kind we do not take (`check_integrity`), holds NaN or infinite
            voxels, or lies on another grid than the first; `ManyErrors` where several files are damaged.
    """
    paths = [Path(file) for file in files]
    warnings = _check_all(paths, reading)
    sources = _sources(paths)
    image = read_image(sources[0])
    geometry, oriented = geometry_of(image, paths[0]), states_orientation(image, paths[0])
    array: FloatArray = np.empty((len(paths), *geometry.shape_zyx), np.float32)
    source_dtypes = []
    for number, (channel, source) in enumerate(zip(array, sources, strict=True)):
        if number > 0:
            image = read_image(source)
            allow = reading.allow_geometry_mismatch
            warnings += compare_grids(paths[0], geometry, source.path, geometry_of(image, source.path), allow)
        warnings += _oddities(image, source.path)
        source_dtypes.append(_fill_channel(channel, image))
        warnings += _put_numbers(channel, source, reading)
    for warning in warnings:
        _logger.warning("%s", warning)
    return Volume(array, geometry, tuple(source_dtypes), tuple(warnings), oriented)


def read_geometry(path: Path) -> Geometry:
    """Read only where a volume's voxels lie (of a 4-D NIfTI file, its first volume's), from its header.

    Raises:
        UserError: not readable, or not one 3-D volume.
    """
    path = Path(path)
    number, n_volumes = None, 1
    if volume_ending(path) in NIFTI_ENDINGS:
        number, n_volumes = 0, count_volumes(path)
    # ITK hangs or crashes on some headers, even where it only looks
    check_integrity(path, n_volumes, whole=False)
    return geometry_of(open_image(Source(path, number)), path)


def read_label_map(path: Path) -> tuple[LabelArray, Geometry]:
    """Read a label map; only evaluation and report do.

    Returns:
        Labels [Z,Y,X] of a whole-number type, and where they lie.

    Raises:
        UserError: damaged, or its voxels are no whole numbers that fit 32 bits.
    """
    path = Path(path)
    for warning in check_integrity(path):
        _logger.warning("%s", warning)
    image = read_image(Source(path))
    labels = SimpleITK.GetArrayFromImage(image)
    if labels.dtype.kind == "f":
        # infinity is its own rounding, and what is too large would wrap around
        if not np.array_equal(labels, np.rint(labels)) or np.abs(labels).max() > np.iinfo(np.int32).max:
            raise UserError(path, "holds numbers that are not whole, or too large", "give a label map")
        labels = labels.astype(np.int32)
    return labels, geometry_of(image, path)


def write_image(path: Path, array_zyx: npt.NDArray[Any], geometry: Geometry) -> None:
    """Write a volume [Z,Y,X] atomically, compressed where the format can; the ending says the format.

    TIFF and MRC keep no direction. A TIFF's spacing is written beside it as {name}.json, as nnU-Net has it.

    Raises:
        UserError: an unknown ending, or a number type that the format cannot hold.
        DiskError: no space left.
    """
    path, ending = Path(path), volume_ending(Path(path))
    assert array_zyx.shape == geometry.shape_zyx, (array_zyx.shape, geometry.shape_zyx)
    image = SimpleITK.GetImageFromArray(array_zyx)
    image.SetSpacing(geometry.spacing_xyz_mm)
    image.SetOrigin(geometry.origin_xyz_mm)
    image.SetDirection(geometry.direction)
    # a .mhd that holds its own voxels, as a .mha does, is one file and so replaced in one step
    with atomic_path(path, ending=".mha" if ending == ".mhd" else ending) as temporary:
        writer = SimpleITK.ImageFileWriter()
        writer.SetFileName(str(temporary))
        writer.SetImageIO(IMAGE_IO[ending])
        writer.SetUseCompression(True)
        try:
            writer.Execute(image)
        except RuntimeError as error:
            raise _write_error(path, array_zyx, last_line(error)) from None
        if ending in NIFTI_ENDINGS and _nifti_bytes(temporary) < NIFTI_VOXELS_START + array_zyx.nbytes:
            raise full_disk(path, array_zyx.nbytes)
        if ending in TIFF_ENDINGS:
            # before the volume, so that a volume that is there is complete
            write_json(tiff_sidecars(path)[0], {"spacing": geometry.spacing_zyx_mm})


def write_labels(path: Path, labels_zyx: LabelArray, geometry: Geometry) -> None:
    """Write part numbers [Z,Y,X] (0–65535) as uint8 where they fit, else as uint16.

    Raises:
        UserError: an unknown ending.
        DiskError: no space left.
    """
    assert labels_zyx.min() >= 0 and labels_zyx.max() <= np.iinfo(np.uint16).max
    fits = labels_zyx.max() <= np.iinfo(np.uint8).max
    write_image(path, labels_zyx.astype(np.uint8 if fits else np.uint16), geometry)


def _sources(paths: Sequence[Path]) -> list[Source]:
    n_volumes = Counter(paths)
    return [
        Source(path, paths[:channel].count(path) if n_volumes[path] > 1 else None)
        for channel, path in enumerate(paths)
    ]


def _check_all(paths: Sequence[Path], reading: ReadingPlan) -> list[str]:
    """Check every file, and return what is odd about them."""
    errors: list[DDError] = []
    warnings: list[str] = []
    for path, n_volumes in Counter(paths).items():
        try:
            warnings += check_integrity(path, n_volumes, finite=reading.nan == "refuse")
        except UserError as error:
            errors.append(error)
    if errors:
        raise joined(errors)
    return warnings


def _fill_channel(channel: FloatArray, image: Any) -> str:
    """Copy an image's voxels to a channel [Z,Y,X], and return their type in the file."""
    voxels = SimpleITK.GetArrayViewFromImage(image)
    # a double beyond float32's range becomes infinite here, and is found afterwards
    with np.errstate(over="ignore"):
        channel[:] = voxels
    return str(voxels.dtype)


def _put_numbers(channel: FloatArray, source: Source, reading: ReadingPlan) -> list[str]:
    """Refuse voxels of a channel [Z,Y,X] that are not finite, or put numbers there, and say so."""
    path = source.path
    if reading.nan != "refuse" and volume_ending(path) in NIFTI_ENDINGS:
        # ITK shows 0 there, which may be rescaled
        channel[find_not_finite(path, source.number or 0)] = np.nan
    if np.isfinite(channel).all():
        return []
    bad = ~np.isfinite(channel)
    if reading.nan == "refuse" or (reading.nan == "median" and bad.all()):
        n_nan, n_infinite = int(np.isnan(channel).sum()), int(np.isinf(channel).sum())
        header_checks.check_finite(path, channel.size, n_nan, n_infinite)
    value = 0.0 if reading.nan == "zero" else float(np.median(channel[~bad]))
    channel[bad] = value
    return [
        f"{path}: {bad.sum()} of {bad.size} voxels are not finite and became {value:g} (--nan {reading.nan})"
    ]


def _oddities(image: Any, path: Path) -> list[str]:
    warnings = []
    if volume_ending(path) in TIFF_ENDINGS and tiff_spacing_xyz_mm(path) is None:
        sidecar = tiff_sidecars(path)[-1].name
        warnings.append(
            f"{path}: {NO_SPACING}, 1 mm is taken (its tags are not read); "
            f'to say it write {sidecar}: {{"spacing": [z, y, x]}}'
        )
    voxels = SimpleITK.GetArrayViewFromImage(image)
    if voxels.dtype.kind in "iu" and voxels.dtype.itemsize > 2:
        largest = max(int(voxels.max()), -int(voxels.min()))
        if largest > LARGEST_EXACT_FLOAT32:
            warnings.append(f"{path}: {voxels.dtype} values up to {largest} are rounded to float32")
    return warnings


def _nifti_bytes(path: Path) -> int:
    """Unpacked size; 0 if it ends early, of which ITK's NIfTI writer says nothing when the disk is full."""
    if volume_ending(path) == ".nii":
        return path.stat().st_size
    with path.open("rb") as stream:
        size, fault = count_inflated(stream, GZIP_ONLY)
    return 0 if fault else size


def _write_error(path: Path, array: npt.NDArray[Any], reason: str) -> DDError:
    if "No space left" in reason or shutil.disk_usage(path.parent).free < array.nbytes:
        return full_disk(path, array.nbytes)
    return UserError(path, f"cannot be written as {array.dtype} ({reason})", "choose another file ending")
