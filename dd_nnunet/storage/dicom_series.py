"""DICOM series: which slices of a folder make up which volume, and that volume, if its slices lie evenly.

Files are read by GDCM, as part of SimpleITK. The tags that place a slice are read here, as GDCM puts defaults where
they are missing; what names a patient is not read.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK

from dd_nnunet.core.case import Geometry, Volume
from dd_nnunet.core.errors import DDError, UserError, joined
from dd_nnunet.core.units import counted
from dd_nnunet.storage import header_checks
from dd_nnunet.storage.itk_image import MAX_COSINE, last_line

MAGIC, MAGIC_AT = b"DICM", 128
# a list of the files on a disk, which is a DICOM file too
INDEX_NAME = "dicomdir"
MODALITY, SERIES_UID, SERIES_NUMBER = "0008|0060", "0020|000e", "0020|0011"
POSITION, ORIENTATION, PIXEL_SPACING = "0020|0032", "0020|0037", "0028|0030"
# rounding of positions in the headers: this share of a length, or this many mm
MAX_UNEVEN, MAX_ROUNDING_MM = 0.01, 0.01
SMALL_TYPES = ("uint8", "int16", "uint16")
SHOWN_GAPS = 5
Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DicomSlice:
    """One slice's place.

    Args:
        path: its file.
        size_xy: columns and rows.
        spacing_xy_mm: from column to column and from row to row.
        position_xyz_mm: centre of its first pixel.
        directions: of a row's pixels (x, y, z), then of a column's.
    """

    path: Path
    size_xy: tuple[int, int]
    spacing_xy_mm: tuple[float, float]
    position_xyz_mm: tuple[float, float, float]
    directions: tuple[float, ...]

    @property
    def normal(self) -> Vector:
        """The direction across the slice, a unit vector."""
        return np.cross(self.directions[:3], self.directions[3:])


@dataclass(frozen=True)
class DicomSeries:
    """The slices of one series that lie in one folder.

    Args:
        folder: where they lie.
        number: the series number, "" if it has none.
        modality: e.g. "CT" or "MR", "" if it is not said.
        slices: in the order of their file names.
        errors: of files of this folder that cannot be used, whichever series they belong to.
    """

    folder: Path
    number: str
    modality: str
    slices: tuple[DicomSlice, ...]
    errors: tuple[DDError, ...] = ()


def is_dicom(path: Path) -> bool:
    """Whether a file is a DICOM file, by its first bytes; an index of files (DICOMDIR) is not taken for one."""
    if path.name.lower() == INDEX_NAME:
        return False
    with path.open("rb") as stream:
        stream.seek(MAGIC_AT)
        return stream.read(len(MAGIC)) == MAGIC


def find_series(folder: Path, files: Sequence[Path]) -> tuple[DicomSeries, ...]:
    """Divide the DICOM files of a folder into its series, by their headers.

    Returns:
        The series by their numbers; at least one, without slices where no file can be used.
    """
    slices: dict[tuple[str, str, str], list[DicomSlice]] = defaultdict(list)
    errors: list[DDError] = []
    for path in files:
        try:
            tags, found = _read_slice(path)
            slices[tags].append(found)
        except DDError as error:
            errors.append(error)
    if not slices:
        return (DicomSeries(folder, "", "", (), tuple(errors)),)
    ordered = sorted(slices, key=lambda tags: (len(tags[0]), tags))
    return tuple(
        DicomSeries(folder, number, modality, tuple(slices[number, modality, uid]), tuple(errors))
        for number, modality, uid in ordered
    )


def read_series(series: DicomSeries) -> Volume:
    """Read a series as one volume, its values rescaled as its files say (Hounsfield units in CT).

    Returns:
        The volume with one channel; `source_dtypes` is the smallest that holds its whole numbers, else float32.

    Raises:
        UserError: a file of its folder cannot be used; fewer than two slices; slices of several sizes, spacings or
            directions, at one place, unevenly apart, or shifted sideways (gantry tilt).
    """
    if series.errors:
        raise joined(series.errors)
    slices = sorted(series.slices, key=lambda s: float(np.dot(s.position_xyz_mm, series.slices[0].normal)))
    geometry = _geometry(series.folder, slices)
    array = np.empty((1, *geometry.shape_zyx), np.float32)
    whole = True
    for plane, source in zip(array[0], slices, strict=True):
        values = _read_values(source)
        whole &= values.dtype.kind in "iu"
        plane[:] = values
        if not np.isfinite(plane).all():
            raise UserError(source.path, "has pixels that are not finite", "export the series again")
    smallest, largest = float(array.min()), float(array.max())
    fitting = [t for t in SMALL_TYPES if whole and np.iinfo(t).min <= smallest and largest <= np.iinfo(t).max]
    return Volume(array, geometry, (fitting[0] if fitting else "float32",))


def _open(path: Path) -> Any:
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("GDCMImageIO")
    return reader


def _read_slice(path: Path) -> tuple[tuple[str, str, str], DicomSlice]:
    """A slice, with the number, modality and identity of its series."""
    reader = _open(path)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        remedy = f"{header_checks.COPY_AGAIN}, or move it out of the folder if it is no image"
        raise UserError(path, f"cannot be read ({last_line(error)})", remedy) from None
    size = reader.GetSize()
    if math.prod(size[2:]) != 1:
        raise UserError(
            path, f"holds {math.prod(size[2:])} frames in one file", "convert it to NIfTI, e.g. with dcm2niix"
        )
    if reader.GetNumberOfComponents() > 1:
        header_checks.refuse_vector(path, reader.GetNumberOfComponents())
    row, column = _numbers(reader, path, PIXEL_SPACING, "PixelSpacing", 2)
    header_checks.check_spacing(path, (column, row))
    x, y, z = _numbers(reader, path, POSITION, "ImagePositionPatient", 3)
    directions = _numbers(reader, path, ORIENTATION, "ImageOrientationPatient", 6)
    axes = np.reshape(directions, (2, 3))
    if not np.abs(axes @ axes.T - np.eye(2)).max() <= MAX_COSINE:
        header_checks.refuse_sheared(path)
    number, modality, uid = (_tag(reader, tag) for tag in (SERIES_NUMBER, MODALITY, SERIES_UID))
    found = DicomSlice(path, (size[0], size[1]), (abs(column), abs(row)), (x, y, z), directions)
    return (number, modality, uid), found


def _tag(reader: Any, tag: str) -> str:
    # texts are filled up to an even length with spaces or zero bytes
    return str(reader.GetMetaData(tag)).strip(" \0") if reader.HasMetaDataKey(tag) else ""


def _numbers(reader: Any, path: Path, tag: str, name: str, count: int) -> tuple[float, ...]:
    text = _tag(reader, tag)
    try:
        values = tuple(float(value) for value in text.split("\\"))
    except ValueError:
        values = ()
    if len(values) != count or not all(map(math.isfinite, values)):
        found = f"{name} is {text!r}, {count} numbers are expected" if text else f"it has no {name}"
        raise UserError(
            path, f"its place is not known: {found}", "move it out of the folder if it is no slice"
        )
    return values


def _read_values(source: DicomSlice) -> npt.NDArray[Any]:
    """The pixels [Y,X] of a slice, rescaled."""
    try:
        image = _open(source.path).Execute()
    except RuntimeError as error:
        reason = f"cannot be read ({last_line(error)})"
        raise UserError(source.path, reason, header_checks.COPY_AGAIN) from None
    x, y = source.size_xy
    values: npt.NDArray[Any] = SimpleITK.GetArrayFromImage(image).reshape(y, x)
    return values


def _geometry(folder: Path, slices: Sequence[DicomSlice]) -> Geometry:
    """Where the voxels of a stack of slices, in the order of their places, lie."""
    if len(slices) < 2:
        raise UserError(
            folder, f"holds a series of {counted(len(slices), 'slice')}, volumes have more", "leave it out"
        )
    first = slices[0]
    _check_alike(slices)
    shifts = np.array([s.position_xyz_mm for s in slices]) - first.position_xyz_mm  # [slice, xyz] mm
    places = shifts @ first.normal
    _check_even(folder, slices, places)
    _check_straight(folder, slices, shifts, places)
    spacing = (*first.spacing_xy_mm, float(places[-1]) / (len(slices) - 1))
    axes = np.column_stack([first.directions[:3], first.directions[3:], first.normal])
    direction = tuple(map(float, axes.ravel()))
    return Geometry((*first.size_xy, len(slices)), spacing, first.position_xyz_mm, direction)  # type: ignore[arg-type]


def _check_alike(slices: Sequence[DicomSlice]) -> None:
    first = slices[0]
    for other in slices[1:]:
        for name, a, b in (
            ("size", first.size_xy, other.size_xy),
            ("pixel spacing", first.spacing_xy_mm, other.spacing_xy_mm),
            ("orientation", first.directions, other.directions),
        ):
            if not np.allclose(a, b, rtol=MAX_COSINE, atol=MAX_COSINE):
                reason = f"has the {name} {b}, {first.path.name} of the same series has {a}"
                raise UserError(other.path, reason, "move the slices that differ to a folder of their own")


def _check_even(folder: Path, slices: Sequence[DicomSlice], places: Vector) -> None:
    """Refuse slices at one place, and gaps that differ; tells each, with its place."""
    gaps = np.diff(places)
    usual = float(np.median(gaps))
    uneven = np.abs(gaps - usual) > _tolerance(usual)
    together = gaps <= MAX_ROUNDING_MM
    wrong = np.flatnonzero(together if together.any() else uneven)
    if not len(wrong):
        return
    pairs = list(itertools.pairwise(slices))
    shown = [
        f"{gaps[k]:.4g} mm between slices {k + 1} and {k + 2} of {len(slices)} "
        f"({pairs[k][0].path.name}, {pairs[k][1].path.name})"
        for k in wrong[:SHOWN_GAPS]
    ]
    more = f", and {len(wrong) - SHOWN_GAPS} more" if len(wrong) > SHOWN_GAPS else ""
    if together.any():
        reason = f"has several slices at one place: {', '.join(shown)}{more}"
        raise UserError(folder, reason, "give each acquisition (phase, echo, …) a folder of its own")
    reason = f"its slices lie {usual:.4g} mm apart, but {', '.join(shown)}{more}"
    raise UserError(folder, reason, "add the missing slices, or resample the series to an even spacing")


def _check_straight(folder: Path, slices: Sequence[DicomSlice], shifts: Vector, places: Vector) -> None:
    """Refuse slices that are shifted sideways, as a tilted gantry does it."""
    sideways = np.linalg.norm(shifts - np.outer(places, slices[0].normal), axis=1)  # [slice] mm
    beyond = sideways - _tolerance(min(slices[0].spacing_xy_mm)) - MAX_COSINE * places
    if not (beyond > 0).any():
        return
    worst = int(np.argmax(beyond))
    angle = math.degrees(math.atan2(sideways[worst], places[worst]))
    reason = (
        f"its slices are shifted sideways, slice {worst + 1} of {len(slices)} ({slices[worst].path.name}) by "
        f"{sideways[worst]:.4g} mm: its grid is sheared (gantry tilt, {angle:.3g}°)"
    )
    raise UserError(folder, reason, "resample it onto a straight grid, e.g. with dcm2niix")


def _tolerance(length_mm: float) -> float:
    return max(MAX_UNEVEN * length_mm, MAX_ROUNDING_MM)
