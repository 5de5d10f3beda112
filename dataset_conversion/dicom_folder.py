"""Which DICOM series of a tree of folders are the cases, and what these are to be called."""

import logging
from collections import defaultdict
from pathlib import Path

from dataset_conversion.folder_names import SourceCase, plain_ids
from dd_nnunet.core.dataset import FILE_ENDINGS
from dd_nnunet.core.errors import DDError, UserError, joined
from dd_nnunet.core.units import counted
from dd_nnunet.storage.dicom_series import DicomSeries, find_series, is_dicom

# below the logger that the commands set up
LOGGER = logging.getLogger(f"dd_nnunet.{__name__}")
ONE_SERIES_EACH = "give each a folder of its own, or take every series as a case with --every_series"


def holds_dicom(folder: Path) -> bool:
    """Whether a folder holds DICOM files, at any depth, and no volume of another format beside its folders."""
    if not folder.is_dir() or any(p.name.lower().endswith(FILE_ENDINGS) for p in folder.iterdir()):
        return False
    return any(is_dicom(path) for path in _files(folder))


def find_dicom_cases(folder: Path, every_series: bool = False) -> tuple[SourceCase, ...]:
    """Find the series below a folder, sorted by their folders; a case is called like its folder below this one.

    Args:
        folder: holds a folder per case, at any depth, or the slices of one case.
        every_series: take every series of a folder as a case, named by the series number too.

    Raises:
        UserError: a folder holds several series, or two cases have one name; `ManyErrors` with all of them.
    """
    named: dict[str, DicomSeries] = {}
    errors: list[DDError] = []
    for place, files in _by_folder(folder).items():
        found = find_series(place, files)
        if len(found) > 1 and not every_series:
            shown = ", ".join(
                f"{s.number or '?'} ({s.modality}, {counted(len(s.slices), 'slice')})" for s in found
            )
            errors.append(UserError(place, f"holds {len(found)} series: {shown}", ONE_SERIES_EACH))
            continue
        name = "_".join(place.relative_to(folder).parts) or place.resolve().name
        for number, series in enumerate(found, start=1):
            full_name = f"{name}_{series.number or number}" if len(found) > 1 else name
            if full_name in named:
                other = named[full_name].folder
                errors.append(UserError(place, f"gives the name {full_name}, as {other} does", "rename it"))
            named[full_name] = series
    if errors:
        raise joined(errors)
    ids = plain_ids(list(named))
    return tuple(
        SourceCase(ids[name], name, tuple(s.path for s in series.slices), series)
        for name, series in named.items()
    )


def modality_of(cases: tuple[SourceCase, ...]) -> str:
    """The modality that all cases have, to name their channel; "image" if they do not say any.

    Raises:
        UserError: they have several.
    """
    found = sorted({case.series.modality for case in cases if case.series and case.series.slices})
    if len(found) > 1:
        example = next(c for c in cases if c.series and c.series.modality == found[-1])
        reason = (
            f"the series have the modalities {', '.join(m or '(none)' for m in found)}; {example.name} is "
        )
        remedy = "convert each modality into a dataset of its own, or give one name with --channel_names"
        raise UserError("-i", f"{reason}{found[-1]}", remedy)
    return found[0] if found and found[0] else "image"


def _by_folder(folder: Path) -> dict[Path, list[Path]]:
    """The DICOM files of each folder, in the order of the folders; of others only their number is said."""
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    n_strangers = 0
    for path in _files(folder):
        if is_dicom(path):
            by_folder[path.parent].append(path)
        else:
            n_strangers += 1
    if n_strangers:
        strangers = counted(n_strangers, "file", ("is no DICOM slice and is", "are no DICOM slices and are"))
        LOGGER.warning("%s: %s left out", folder, strangers)
    return by_folder


def _files(folder: Path) -> list[Path]:
    """All files below a folder that are not hidden, sorted."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
