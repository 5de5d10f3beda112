"""Any folder of volumes becomes a raw dataset."""

import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dataset_conversion.cases import channels_of, check_labels, convert_each, origin_of, write_record
from dataset_conversion.dicom_folder import find_dicom_cases, holds_dicom, modality_of
from dataset_conversion.folder_names import SourceCase, find_labels, find_sources
from dataset_conversion.raw_folder import FILE_ENDING, write_channels, write_dataset_json
from dd_nnunet.core.case import Geometry, Volume
from dd_nnunet.core.errors import DDError, UserError, joined
from dd_nnunet.core.units import counted
from dd_nnunet.storage import volume as volumes
from dd_nnunet.storage.dicom_series import read_series
from dd_nnunet.storage.grids import compare_grids
from dd_nnunet.storage.integrity import volume_ending

# below the logger that the commands set up
LOGGER = logging.getLogger(f"dd_nnunet.{__name__}")

TIFF_ENDINGS = (".tif", ".tiff")
MRC_ENDINGS = (".mrc", ".rec")
ANGSTROM = "the spacing of MRC files is in ångström; 1 mm in this dataset stands for 1 ångström"


@dataclass(frozen=True)
class FolderRequest:
    """What is asked for.

    Args:
        images: the folder of volumes.
        labels: a folder of label maps named like the cases, or None.
        channel_names: one per channel; empty = "image", or "channel_0", "channel_1", …
        tiff_spacing_zyx_mm: of every TIFF, whatever the file beside it says; None = as that says, else 1 mm. Its
            tags are not read for it.
        one_channel: take every file as a case of its own, whatever its name.
        every_series: take every DICOM series as a case of its own, also where one folder holds several.
        skip_bad: leave bad cases out instead of refusing the folder.
    """

    images: Path
    labels: Path | None = None
    channel_names: tuple[str, ...] = ()
    tiff_spacing_zyx_mm: tuple[float, float, float] | None = None
    one_channel: bool = False
    every_series: bool = False
    skip_bad: bool = False


@dataclass
class _Converted:
    """What was written so far: the entries of conversion.json, the label values."""

    cases: dict[str, Any] = field(default_factory=dict)
    label_values: set[int] = field(default_factory=set)


def convert_folder(request: FolderRequest, target: Path, show_progress: bool = False) -> tuple[DDError, ...]:
    """Write every case of a folder into a dataset's folder, with dataset.json and conversion.json.

    Args:
        request: what to read.
        target: the new dataset's folder.
        show_progress: with a progress bar.

    Returns:
        The errors of the cases left out (with `skip_bad`).

    Raises:
        UserError: nothing to convert, names that do not fit; `ManyErrors` with all bad cases (without
            `skip_bad`, or where no case is good).
        DiskError: no space left.
    """
    cases = _find_cases(request)
    channel_names = _channel_names(request, cases)
    _check_tiff_spacing(request, cases)
    labels = find_labels(request.labels, cases) if request.labels is not None else {}
    done = _Converted()

    def convert(case: SourceCase) -> None:
        entry, values = _convert_case(case, labels.get(case.name), request, target)
        done.cases[case.case_id] = entry
        done.label_values |= values

    errors = convert_each(cases, convert, show_progress)
    if errors and (not request.skip_bad or not done.cases):
        raise joined(errors)
    write_record(target, done.cases, errors)
    if any(_is_about_spacing(warning) for case in done.cases.values() for warning in case["warnings"]):
        LOGGER.warning("--spacing_zyx_mm Z Y X gives a spacing to all TIFF files at once")
    names = {0: "background"}
    label_names = {names.get(value, f"label_{value}"): value for value in sorted(done.label_values)}
    write_dataset_json(target, channel_names, len(done.cases), label_names)
    return tuple(errors)


def _find_cases(request: FolderRequest) -> tuple[SourceCase, ...]:
    if holds_dicom(request.images):
        if request.one_channel:
            raise UserError("--one_channel", "is for volumes in files", "every DICOM series is one channel")
        return find_dicom_cases(request.images, request.every_series)
    if request.every_series:
        reason = f"is for DICOM series, {request.images} holds none that are not beside other volumes"
        raise UserError("--every_series", reason, "leave it out")
    return find_sources(request.images, request.one_channel)


def _convert_case(
    case: SourceCase, label_file: Path | None, request: FolderRequest, target: Path
) -> tuple[dict[str, Any], set[int]]:
    """Convert one case; nothing of it is written unless its label map is good too.

    Returns:
        Its entry of conversion.json, and the values of its label map.
    """
    label_values: set[int] = set()
    volume = _read(case, request.tiff_spacing_zyx_mm)
    entry: dict[str, Any] = {"name": case.name, "files": origin_of(case.files)}
    if label_file is not None:
        labels_zyx = _read_labels(label_file, case, volume, request.tiff_spacing_zyx_mm)
        volumes.write_labels(
            target / "labelsTr" / f"{case.case_id}{FILE_ENDING}", labels_zyx, volume.geometry
        )
        label_values = {0, *map(int, np.unique(labels_zyx))}
        entry["labels"] = origin_of((label_file,))
    write_channels(target / "imagesTr", case.case_id, channels_of(volume), volume.geometry)
    entry["warnings"] = list(volume.warnings)
    if case.ending in MRC_ENDINGS:
        LOGGER.warning("%s: %s", case.where, ANGSTROM)
        entry["warnings"].append(ANGSTROM)
    return entry, label_values


def _read(case: SourceCase, tiff_spacing_zyx_mm: tuple[float, float, float] | None) -> Volume:
    if case.series is not None:
        return read_series(case.series)
    if tiff_spacing_zyx_mm is None or case.ending not in TIFF_ENDINGS:
        return volumes.read_volume(case.files)
    with _without_spacing_warnings():
        volume = volumes.read_volume(case.files)
    warnings = [warning for warning in volume.warnings if not _is_about_spacing(warning)]
    if len(warnings) == len(volume.warnings) and volume.geometry.spacing_zyx_mm != tiff_spacing_zyx_mm:
        beside = ", ".join(f"{length:g}" for length in volume.geometry.spacing_zyx_mm)
        warnings.append(f"{case.where}: the spacing beside it, {beside} mm, gives way to --spacing_zyx_mm")
        LOGGER.warning("%s", warnings[-1])
    geometry = _with_spacing(volume.geometry, tiff_spacing_zyx_mm)
    return dataclasses.replace(volume, geometry=geometry, warnings=tuple(warnings))


def _read_labels(
    label_file: Path, case: SourceCase, volume: Volume, tiff_spacing_zyx_mm: tuple[float, float, float] | None
) -> npt.NDArray[np.integer[Any]]:
    """The label map [Z,Y,X], if it lies on the image's grid and holds 0–65535."""
    labels_zyx, geometry = volumes.read_label_map(label_file)
    if tiff_spacing_zyx_mm is not None and volume_ending(label_file) in TIFF_ENDINGS:
        geometry = _with_spacing(geometry, tiff_spacing_zyx_mm)
    for warning in compare_grids(case.where, volume.geometry, label_file, geometry):
        LOGGER.warning("%s", warning)
    check_labels(labels_zyx, label_file)
    return labels_zyx


def _with_spacing(geometry: Geometry, spacing_zyx_mm: tuple[float, float, float]) -> Geometry:
    z, y, x = spacing_zyx_mm
    return dataclasses.replace(geometry, spacing_xyz_mm=(x, y, z))


@contextlib.contextmanager
def _without_spacing_warnings() -> Iterator[None]:
    """Silence the reader's remark that a TIFF has no spacing while the user has given one."""

    def keep(record: logging.LogRecord) -> bool:
        return not _is_about_spacing(record.getMessage())

    reader_log = logging.getLogger(volumes.__name__)
    reader_log.addFilter(keep)
    try:
        yield
    finally:
        reader_log.removeFilter(keep)


def _is_about_spacing(warning: str) -> bool:
    return f": {volumes.NO_SPACING}, " in warning


def _channel_names(request: FolderRequest, cases: tuple[SourceCase, ...]) -> tuple[str, ...]:
    n_channels = cases[0].n_channels
    if request.channel_names:
        if len(request.channel_names) != n_channels:
            n_names = counted(len(request.channel_names), "name")
            wanted = counted(n_channels, "channel")
            raise UserError(
                "--channel_names",
                f"gives {n_names}, the cases in {request.images} have {wanted}",
                "give one name per channel; --one_channel takes each file as a case of its own",
            )
        return request.channel_names
    if n_channels == 1:
        return (modality_of(cases),)
    if len(cases) == 1:
        raise UserError(
            request.images,
            f"its files may be {n_channels} channels of one case or {n_channels} cases",
            "say which: --channel_names NAME NAME … or --one_channel",
        )
    return tuple(f"channel_{channel}" for channel in range(n_channels))


def _check_tiff_spacing(request: FolderRequest, cases: tuple[SourceCase, ...]) -> None:
    spacing = request.tiff_spacing_zyx_mm
    if spacing is None:
        return
    if not all(np.isfinite(length) and length > 0 for length in spacing):
        raise UserError("--spacing_zyx_mm", f"is {spacing}", "give three numbers above 0, in mm")
    if not any(case.ending in TIFF_ENDINGS for case in cases):
        raise UserError(
            "--spacing_zyx_mm",
            f"is for TIFF files, {request.images} holds none",
            "leave it out; other formats say their spacing themselves",
        )
