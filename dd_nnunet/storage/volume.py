"""Raw volumes, by SimpleITK, behind the integrity gate."""

import contextlib
import logging
import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK

from dd_nnunet.core.case import FloatArray, Geometry, Volume
from dd_nnunet.core.errors import DDError, ManyErrors, UserError
from dd_nnunet.storage import header_checks
from dd_nnunet.storage.atomic import atomic_path, full_disk, read_json, write_json
from dd_nnunet.storage.grids import compare_grids
from dd_nnunet.storage.inflate import GZIP_ONLY, count_inflated
from dd_nnunet.storage.integrity import check_integrity, tiff_sidecars, volume_ending

_logger = logging.getLogger(__name__)

IMAGE_IO = {
    ".nii.gz": "NiftiImageIO",
    ".nii": "NiftiImageIO",
    ".nrrd": "NrrdImageIO",
    ".mha": "MetaImageIO",
    ".mhd": "MetaImageIO",
    ".tif": "TIFFImageIO",
    ".tiff": "TIFFImageIO",
    ".mrc": "MRCImageIO",
    ".rec": "MRCImageIO",
}
TIFF_ENDINGS = (".tif", ".tiff")
NIFTI_ENDINGS = (".nii.gz", ".nii")
# the first byte of the voxels in NIfTI-1; it is a later one in NIfTI-2
NIFTI_VOXELS_START = 352
# up to here float32 holds every whole number
LARGEST_EXACT_FLOAT32 = 2**24
LabelArray = npt.NDArray[np.integer[Any]]


def read_volume(files: Sequence[Path]) -> Volume:
    """Read one case, a file per channel.

    Args:
        files: in channel order.

    Returns:
        The volume, `array` [C,Z,Y,X] float32 in raw intensities, all finite. What was odd is logged and
        listed in `warnings`. The spacing of a MRC file is in ångström, as it stands there.

    Raises:
        UserError: a file is damaged or of a kind we do not take (`check_integrity`), holds NaN or infinite
            voxels, or lies on another grid than the first; `ManyErrors` where several files are damaged.
    """
    paths = [Path(file) for file in files]
    _check_all(paths)
    images = (_read_image(path) for path in paths)
    first = next(images)
    geometry = _geometry(first, paths[0])
    array: FloatArray = np.empty((len(paths), *geometry.shape_zyx), np.float32)
    source_dtypes = [_fill_channel(array[0], first, paths[0])]
    warnings = _oddities(first, paths[0])
    for channel, (path, image) in enumerate(zip(paths[1:], images, strict=True), start=1):
        warnings += compare_grids(paths[0], geometry, path, _geometry(image, path))
        warnings += _oddities(image, path)
        source_dtypes.append(_fill_channel(array[channel], image, path))
    for warning in warnings:
        _logger.warning("%s", warning)
    return Volume(array, geometry, tuple(source_dtypes), tuple(warnings))


def read_geometry(path: Path) -> Geometry:
    """Read only where a volume's voxels lie, from its header.

    Raises:
        UserError: not readable, or not one 3-D volume.
    """
    path = Path(path)
    return _geometry(_open_image(path), path)


def read_label_map(path: Path) -> tuple[LabelArray, Geometry]:
    """Read a label map; only evaluation and report do.

    Returns:
        Labels [Z,Y,X] of a whole-number type, and where they lie.

    Raises:
        UserError: damaged, or its voxels are no whole numbers.
    """
    path = Path(path)
    check_integrity(path)
    image = _read_image(path)
    labels = SimpleITK.GetArrayFromImage(image)
    if labels.dtype.kind == "f":
        if not np.array_equal(labels, np.rint(labels)):
            raise UserError(path, "holds numbers that are not whole", "give a label map")
        labels = labels.astype(np.int32)
    return labels, _geometry(image, path)


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
            raise _write_error(path, array_zyx, _last_line(error)) from None
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


def _check_all(paths: Sequence[Path]) -> None:
    errors: list[DDError] = []
    for path in paths:
        try:
            check_integrity(path)
        except UserError as error:
            errors.append(error)
    if errors:
        raise errors[0] if len(errors) == 1 else ManyErrors(errors)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn what ITK says into an error that names the file."""
    try:
        yield
    except RuntimeError as error:
        reason = _last_line(error)
        if "orthonormal" in reason:
            header_checks.refuse_sheared(path)
        raise UserError(path, f"cannot be read ({reason})", header_checks.COPY_AGAIN) from None


def _open_image(path: Path) -> Any:
    """A SimpleITK reader whose header is read and checked; `Execute` reads the voxels."""
    # what is wrong we say ourselves, in one line
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(IMAGE_IO[volume_ending(path)])
    with _naming(path):
        reader.ReadImageInformation()
    size = reader.GetSize()
    if len(size) < 3:
        header_checks.refuse_2d(path)
    if math.prod(size[3:]) > 1:
        header_checks.refuse_4d(path, math.prod(size[3:]))
    if reader.GetNumberOfComponents() > 1:
        header_checks.refuse_vector(path, reader.GetNumberOfComponents())
    # further axes of length 1 are dropped
    reader.SetExtractSize([*size[:3], *([0] * (len(size) - 3))])
    return reader


def _read_image(path: Path) -> Any:
    reader = _open_image(path)
    with _naming(path):
        return reader.Execute()


def _geometry(image: Any, path: Path) -> Geometry:
    """Where the voxels of an image, or of a reader that has read the header, lie."""
    n_axes = image.GetDimension()
    spacing = _floats(image.GetSpacing()[:3])
    if volume_ending(path) in TIFF_ENDINGS:
        # its resolution tags are for print, and it has none for the third axis
        spacing = _tiff_spacing_xyz_mm(path) or (1.0, 1.0, 1.0)
    x, y, z = image.GetSize()[:3]
    direction = np.reshape(image.GetDirection(), (n_axes, n_axes))[:3, :3].ravel()
    return Geometry((x, y, z), spacing, _floats(image.GetOrigin()[:3]), tuple(map(float, direction)))  # type: ignore[arg-type]


def _floats(values: Sequence[float]) -> tuple[float, float, float]:
    x, y, z = map(float, values)
    return (x, y, z)


def _tiff_spacing_xyz_mm(path: Path) -> tuple[float, float, float] | None:
    for sidecar in tiff_sidecars(path):
        if sidecar.is_file():
            data = read_json(sidecar)
            spacing = data.get("spacing") if isinstance(data, dict) else None
            if not isinstance(spacing, list) or len(spacing) != 3 or not all(map(_is_length, spacing)):
                raise UserError(sidecar, f"$.spacing is {spacing!r}", 'expected {"spacing": [z, y, x]} in mm')
            return _floats(spacing[::-1])
    return None


def _is_length(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _fill_channel(channel: FloatArray, image: Any, path: Path) -> str:
    """Copy an image's voxels to a channel [Z,Y,X], and return their type in the file."""
    voxels = SimpleITK.GetArrayViewFromImage(image)
    # a double beyond float32's range becomes infinite here, and is found below
    with np.errstate(over="ignore"):
        channel[:] = voxels
    if not np.isfinite(channel).all():
        n_nan, n_infinite = int(np.isnan(channel).sum()), int(np.isinf(channel).sum())
        header_checks.check_finite(path, channel.size, n_nan, n_infinite)
    return str(voxels.dtype)


def _oddities(image: Any, path: Path) -> list[str]:
    warnings = []
    if volume_ending(path) in TIFF_ENDINGS and _tiff_spacing_xyz_mm(path) is None:
        sidecar = tiff_sidecars(path)[-1].name
        warnings.append(
            f'{path}: no spacing, 1 mm is taken; to say it write {sidecar}: {{"spacing": [z, y, x]}}'
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


def _last_line(error: RuntimeError) -> str:
    """What went wrong in ITK, without the place in its source."""
    return str(error).strip().splitlines()[-1].strip()
