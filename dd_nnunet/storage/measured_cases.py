"""What was measured of each case, kept so that a dataset that grows is measured where it is new.

measured_cases/{case}.json in the prepared dataset. An entry counts while the case's raw files are those that were
measured (by size and time of change, else by their bytes), while they would be measured in the same way (`made_by`),
and while its own checksum holds.
"""

import contextlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dd_nnunet.core.dataset import CaseFiles
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.fingerprint import CaseFingerprint
from dd_nnunet.core.json_record import record_from_json
from dd_nnunet.storage.atomic import disk_error, read_json, remove_leftovers, write_json
from dd_nnunet.storage.case_store import sha256_of_record
from dd_nnunet.storage.raw_files import RawFileRecord, are_unchanged, record_raw_files

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MeasuredCase:
    """One case, measured.

    Args:
        fingerprint: what was measured.
        warnings: of its files; they name these by their whole paths.
        raw_folder: where these files lay; empty where no warning names them.
        raw_files: in channel order, with what belongs to them.
    """

    fingerprint: CaseFingerprint
    warnings: tuple[str, ...]
    raw_folder: str
    raw_files: tuple[RawFileRecord, ...]


@dataclass(frozen=True)
class _Entry:
    """A file: a measured case, how it was measured, and the checksum of both."""

    made_by: str
    sha256: str
    measured: MeasuredCase


@dataclass(frozen=True)
class MeasuredCases:
    """The folder of what was measured of a dataset's cases; its owner holds the lock of the dataset.

    Args:
        folder: is made with the first case.
        made_by: changes with all that changes what is measured of the same files.
    """

    folder: Path
    made_by: str

    def current(self, cases: Sequence[CaseFiles]) -> dict[str, MeasuredCase]:
        """What counts, by case id; a damaged entry is warned of and does not."""
        remove_leftovers(self.folder)
        found = {case.case_id: self._read(case) for case in cases}
        return {case_id: measured for case_id, measured in found.items() if measured is not None}

    def keep(self, case_id: str, measured: MeasuredCase) -> None:
        """Write one case, atomically.

        Raises:
            DiskError: no space left.
        """
        entry = _Entry(self.made_by, _checksum(self.made_by, measured), measured)
        write_json(self._path(case_id), entry)

    def drop_others(self, case_ids: Iterable[str]) -> None:
        """Remove all cases but these.

        Raises:
            UserError: the folder may not be written.
        """
        remove_measured(self.folder, case_ids)

    def _path(self, case_id: str) -> Path:
        return self.folder / f"{case_id}.json"

    def _read(self, case: CaseFiles) -> MeasuredCase | None:
        path = self._path(case.case_id)
        if not path.exists():
            return None
        try:
            measured = self._measured(read_json(path), path)
        except UserError as error:
            _logger.warning("warning: %s: is damaged (%s); the case is measured again", path, error.reason)
            return None
        if measured is None or measured.fingerprint.case_id != case.case_id:
            return None
        return measured if _is_of(measured, case) else None

    def _measured(self, data: Any, path: Path) -> MeasuredCase | None:
        """The measured case of a file, None where it was measured otherwise than now.

        Raises:
            UserError: it is damaged.
        """
        # looked at first: what another version wrote may have other keys
        if isinstance(data, dict) and data.get("made_by", self.made_by) != self.made_by:
            return None
        entry = record_from_json(_Entry, data, path)
        if entry.sha256 != _checksum(entry.made_by, entry.measured):
            raise UserError(path, "its checksum is another", "remove it")
        return entry.measured


def remove_measured(folder: Path, but: Iterable[str] = ()) -> None:
    """Remove what was measured of all cases but these.

    Raises:
        UserError: the folder may not be written.
    """
    wanted = {folder / f"{case_id}.json" for case_id in but}
    for path in sorted(set(folder.glob("*.json")) - wanted):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise disk_error(path, error) from error


def record_measured(
    fingerprint: CaseFingerprint, warnings: Sequence[str], channel_files: Sequence[Path]
) -> MeasuredCase:
    """A case that was just read and measured, with the hashes of its raw files."""
    folder = _folder_of(channel_files) if warnings else ""
    return MeasuredCase(fingerprint, tuple(warnings), folder, record_raw_files(channel_files))


def _is_of(measured: MeasuredCase, case: CaseFiles) -> bool:
    # warnings would name files where they no longer are
    if measured.warnings and measured.raw_folder != _folder_of(case.channel_files):
        return False
    # a damaged header is told by who reads the case
    with contextlib.suppress(UserError):
        return are_unchanged(measured.raw_files, case.channel_files)
    return False


def _folder_of(channel_files: Sequence[Path]) -> str:
    return str(Path(channel_files[0]).absolute().parent)


def _checksum(made_by: str, measured: MeasuredCase) -> str:
    return sha256_of_record((made_by, measured))
