"""What converters do case by case: gather all errors, keep number types, tell where each case came from."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from dd_nnunet.core.case import Volume
from dd_nnunet.core.dataset import FILE_ENDINGS
from dd_nnunet.core.errors import DDError, DiskError, UserError
from dd_nnunet.storage.atomic import sha256_of, write_json
from dd_nnunet.storage.integrity import parts_of
from dd_nnunet.storage.progress_bar import progress_bar

Case = TypeVar("Case")
LARGEST_LABEL = int(np.iinfo(np.uint16).max)
# these are written back as they were; everything else as float32, which is what was read
KEPT_DTYPES = ("int8", "uint8", "int16", "uint16")


def convert_each(
    cases: Sequence[Case], convert: Callable[[Case], None], show_progress: bool = False
) -> list[DDError]:
    """Convert every case, going on after a bad one.

    Returns:
        The errors of the bad cases, in order.

    Raises:
        DiskError: no space left, which the next case would not have either.
    """
    errors: list[DDError] = []
    for case in progress_bar(cases, desc="cases", disable=not show_progress):
        try:
            convert(case)
        except DiskError:
            raise
        except DDError as error:
            errors.append(error)
    return errors


def check_labels(labels_zyx: npt.NDArray[np.integer[Any]], file: Path) -> None:
    """Refuse labels that no label map of ours can hold.

    Raises:
        UserError: names the file and what it holds.
    """
    smallest, largest = int(labels_zyx.min()), int(labels_zyx.max())
    if smallest < 0 or largest > LARGEST_LABEL:
        found = f"holds labels from {smallest} to {largest}, 0 to {LARGEST_LABEL} are allowed"
        raise UserError(file, found, "renumber them")


def channels_of(volume: Volume) -> list[npt.NDArray[Any]]:
    """The channels [Z,Y,X] in the number types of their files, where these are small whole numbers."""
    return [
        channel.astype(dtype) if dtype in KEPT_DTYPES else channel
        for channel, dtype in zip(volume.array, volume.source_dtypes, strict=True)
    ]


def origin_of(files: Sequence[Path]) -> dict[str, str]:
    """SHA-256 by file name: of all files that make up these volumes, or of files of other kinds."""
    parts = (part for file in files for part in (parts_of(file) if _is_volume(file) else (file,)))
    return {part.name: sha256_of(part) for part in parts}


def write_record(folder: Path, cases: dict[str, Any], left_out: Sequence[DDError] = ()) -> None:
    """Write conversion.json: an entry per case id, and what was left out."""
    lines = [line for error in left_out for line in error.lines]
    write_json(folder / "conversion.json", {"cases": cases, "left_out": lines})


def _is_volume(file: Path) -> bool:
    return file.name.lower().endswith(FILE_ENDINGS)
