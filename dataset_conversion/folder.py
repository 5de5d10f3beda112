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

from dataset_conversion.folder_names import SourceCase, find_labels, find_sources
from dataset_conversion.raw_folder import FILE_ENDING, write_channels, write_dataset_json
from dd_nnunet.core.case import Geometry, Volume
from dd_nnunet.core.errors import DDError, DiskError, ManyErrors, UserError
from dd_nnunet.storage import volume as volumes
from dd_nnunet.storage.atomic import sha256_of, write_json
from dd_nnunet.storage.grids import compare_grids
from dd_nnunet.storage.integrity import parts_of, volume_ending
from dd_nnunet.storage.progress_bar import progress_bar

# below the logger that the commands set up
LOGGER = logging.getLogger(f"dd_nnunet.{__name__}")

TIFF_ENDINGS = (".tif", ".tiff")
MRC_ENDINGS = (".mrc", ".rec")
# these are written back as they were; everything else as float32, which is what was read
KEPT_DTYPES = ("int8", "uint8", "int16", "uint16")
LARGEST_LABEL = int(np.iinfo(np.uint16).max)
ANGSTROM = "the spacing of MRC files is in ångström; 1 mm in this dataset stands for 1 ångström"


@dataclass(frozen=True)
class FolderRequest:
    """What is asked for.

    Args:
        images: the folder of volumes.
        labels: a folder of label maps named like the cases, or None.
        channel_names: one per channel; empty = "image", or "channel_0", "channel_1", …
        tiff_spacing_zyx_mm: of every TIFF, which cannot say its own; None = as the file beside it says.
        one_channel: take every file as a case of its own, whatever its name.
        skip_bad: leave bad cases out instead of refusing the folder.
    """

    images: Path
    labels: Path | None = None
    channel_names: tuple[str, ...] = ()
    tiff_spacing_zyx_mm: tuple[float, float, float] | None = None
    one_channel: bool = False
    skip_bad: bool = False


@dataclass
class _Converted:
    """What was written so far: the entries of conversion.json, the errors, the label values."""

    cases: dict[str, Any] = field(default_factory=dict)
    errors: list[DDError] = field(default_factory=list)
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
    cases = find_sources(request.images, request.one_channel)
    channel_names = _channel_names(request, cases)
    _check_tiff_spacing(request, cases)
    labels = find_labels(request.labels, cases) if request.labels is not None else {}
    done = _Converted()
    for case in progress_bar(cases, desc="cases", disable=not show_progress):
        try:
            _convert_case(case, labels.get(case.name), request, target, done)
        except DiskError:
            raise
        except DDError as error:
            done.errors.append(error)
    if done.errors and (not request.skip_bad or not done.cases):
        raise ManyErrors(done.errors)
    left_out = [line for error in done.errors for line in error.lines]
    write_json(target / "conversion.json", {"cases": done.cases, "left_out": left_out})
    names = {0: "background"}
    label_names = {names.get(value, f"label_{value}"): value for value in sorted(done.label_values)}
    write_dataset_json(target, channel_names, len(done.cases), label_names)
    return tuple(done.errors)


def _convert_case(
    case: SourceCase, label_file: Path | None, request: FolderRequest, target: Path, done: _Converted
) -> None:
    """Convert one case; nothing of it is written unless its label map is good too."""
    volume = _read(case, request.tiff_spacing_zyx_mm)
    entry: dict[str, Any] = {"name": case.name, "files": _hashes(case.files)}
    if label_file is not None:
        labels_zyx = _read_labels(label_file, case, volume, request.tiff_spacing_zyx_mm)
        volumes.write_labels(
            target / "labelsTr" / f"{case.case_id}{FILE_ENDING}", labels_zyx, volume.geometry
        )
        done.label_values |= {0, *map(int, np.unique(labels_zyx))}
        entry["labels"] = _hashes((label_file,))
    channels = [
        channel.astype(dtype) if dtype in KEPT_DTYPES else channel
        for channel, dtype in zip(volume.array, volume.source_dtypes, strict=True)
    ]
    write_channels(target / "imagesTr", case.case_id, channels, volume.geometry)
    entry["warnings"] = list(volume.warnings)
    if volume_ending(case.files[0]) in MRC_ENDINGS:
        LOGGER.warning("%s: %s", case.files[0], ANGSTROM)
        entry["warnings"].append(ANGSTROM)
    done.cases[case.case_id] = entry


def _read(case: SourceCase, tiff_spacing_zyx_mm: tuple[float, float, float] | None) -> Volume:
    if tiff_spacing_zyx_mm is None or volume_ending(case.files[0]) not in TIFF_ENDINGS:
        return volumes.read_volume(case.files)
    with _without_spacing_warnings():
        volume = volumes.read_volume(case.files)
    warnings = tuple(warning for warning in volume.warnings if not _is_about_spacing(warning))
    geometry = _with_spacing(volume.geometry, tiff_spacing_zyx_mm)
    return dataclasses.replace(volume, geometry=geometry, warnings=warnings)


def _read_labels(
    label_file: Path, case: SourceCase, volume: Volume, tiff_spacing_zyx_mm: tuple[float, float, float] | None
) -> npt.NDArray[np.integer[Any]]:
    """The label map [Z,Y,X], if it lies on the image's grid and holds 0–65535."""
    labels_zyx, geometry = volumes.read_label_map(label_file)
    if tiff_spacing_zyx_mm is not None and volume_ending(label_file) in TIFF_ENDINGS:
        geometry = _with_spacing(geometry, tiff_spacing_zyx_mm)
    for warning in compare_grids(case.files[0], volume.geometry, label_file, geometry):
        LOGGER.warning("%s", warning)
    smallest, largest = int(labels_zyx.min()), int(labels_zyx.max())
    if smallest < 0 or largest > LARGEST_LABEL:
        found = f"holds labels from {smallest} to {largest}, 0 to {LARGEST_LABEL} are allowed"
        raise UserError(label_file, found, "renumber them")
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
    return ": no spacing, " in warning


def _channel_names(request: FolderRequest, cases: tuple[SourceCase, ...]) -> tuple[str, ...]:
    n_channels = len(cases[0].files)
    if request.channel_names:
        if len(request.channel_names) != n_channels:
            n_names = len(request.channel_names)
            raise UserError(
                "--channel_names",
                f"gives {n_names} name(s), the cases in {request.images} have {n_channels} channel(s)",
                "give one name per channel; --one_channel takes each file as a case of its own",
            )
        return request.channel_names
    if n_channels == 1:
        return ("image",)
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
    if not any(volume_ending(case.files[0]) in TIFF_ENDINGS for case in cases):
        raise UserError(
            "--spacing_zyx_mm",
            f"is for TIFF files, {request.images} holds none",
            "leave it out; other formats say their spacing themselves",
        )


def _hashes(files: tuple[Path, ...]) -> dict[str, str]:
    """SHA-256 by file name, of all files that make up these volumes."""
    return {part.name: sha256_of(part) for file in files for part in parts_of(file)}
