"""Raw files as they were when something was made of them, so that unchanged ones need not be read again."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dd_nnunet.storage.atomic import sha256_of
from dd_nnunet.storage.integrity import parts_of


@dataclass(frozen=True)
class RawFileRecord:
    """A raw file as it was; size and time spare hashing it again.

    Args:
        name: of the file, without its folder.
        size_bytes: of the file.
        mtime_ns: when it was last changed, in nanoseconds since 1970.
        sha256: of its bytes, in hexadecimal.
    """

    name: str
    size_bytes: int
    mtime_ns: int
    sha256: str


def record_raw_files(channel_files: Sequence[Path]) -> tuple[RawFileRecord, ...]:
    """Hash the files of a case, in channel order, and what belongs to them: detached data, a TIFF's spacing.

    Raises:
        UserError: the header of one is damaged.
    """
    return tuple(map(_record, _all_files(channel_files)))


def are_unchanged(recorded: Sequence[RawFileRecord], channel_files: Sequence[Path]) -> bool:
    """Whether the files of a case are those that were recorded, by size and time, else by their bytes.

    Raises:
        UserError: the header of one is damaged.
    """
    files = _all_files(channel_files)
    return len(recorded) == len(files) and all(map(_is_unchanged, recorded, files))


def _all_files(channel_files: Sequence[Path]) -> tuple[Path, ...]:
    return tuple(part for file in channel_files for part in parts_of(Path(file)))


def _record(path: Path) -> RawFileRecord:
    status = path.stat()
    return RawFileRecord(path.name, status.st_size, status.st_mtime_ns, sha256_of(path))


def _is_unchanged(recorded: RawFileRecord, path: Path) -> bool:
    if not path.is_file() or path.name != recorded.name or path.stat().st_size != recorded.size_bytes:
        return False
    # a copied dataset has new times and the same bytes
    return path.stat().st_mtime_ns == recorded.mtime_ns or sha256_of(path) == recorded.sha256
