"""Files that are old or new, never half: written beside, synced, then renamed."""

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from dd_nnunet.core.errors import DiskError, UserError
from dd_nnunet.core.json_record import (
    LARGEST_JSON_BYTES,
    dump_json,
    parse_json,
    record_from_json,
    record_to_json,
)

Record = TypeVar("Record")

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
NO_FOLDER = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP)
TEMPORARY_PREFIX = ".dd_tmp_"
PROBE_NAME = ".dd_probe"
CHUNK_BYTES = 1 << 20
SECONDS_PER_DAY = 24 * 60 * 60


@contextlib.contextmanager
def atomic_path(path: Path, ending: str | None = None, n_bytes: int | None = None) -> Iterator[Path]:
    """Yield a temporary path to write; on success it takes the place of `path`, on error it is removed.

    The temporary file lies in the same folder (so that the rename is one step) and has the same ending
    (so that writers which choose the format by the ending work), or the one given. The folder is made if
    it is missing. `n_bytes`, if known, is named when the disk is full.

    Raises:
        DiskError: no space left; what stood at `path` is kept.
        UserError: the folder may not be written.
    """
    path = Path(path)
    # a short name: the final one may already use the 255 bytes that file systems allow
    name = f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}{_ending(path) if ending is None else ending}"
    temporary = path.with_name(name)
    try:
        _make_folder(path.parent)
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise disk_error(path, error, n_bytes) from error
    finally:
        # a failed removal must not hide the error that led here
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    # of file systems in which no folder can be made, such as /proc
    except FileNotFoundError as error:
        raise UserError(folder, f"cannot be made ({error.strerror})", "choose another folder") from None


def place_folder(source: Path, target: Path) -> None:
    """Rename a finished folder to its place beside it, where nothing may stand yet.

    Raises:
        UserError: something stands there, or the folder may not be written.
    """
    try:
        source.rename(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise disk_error(target, error) from error


def disk_error(path: Path, error: OSError, n_bytes: int | None = None) -> Exception:
    """The error to raise for an `OSError` met while writing `path`; the same one if it is none of ours."""
    if error.errno in DISK_FULL:
        return full_disk(path, n_bytes)
    if error.errno in NO_FOLDER:
        reason = f"cannot be written ({error.strerror})"
        return UserError(
            path,
            reason,
            "a file stands where a folder should be, or the name is too long: choose another folder",
        )
    if error.errno in NOT_ALLOWED:
        return UserError(path, f"may not be written ({error.strerror})", "correct the folder's permissions")
    return error


def full_disk(path: Path, n_bytes: int | None = None) -> DiskError:
    """The error to raise where `path`, of so many bytes if that is known, did not fit on its disk."""
    folder = next(folder for folder in Path(path).absolute().parents if folder.is_dir())
    needed = "" if n_bytes is None else f"{n_bytes} bytes needed, "
    reason = f"no space left on the disk ({needed}{shutil.disk_usage(folder).free} free)"
    return DiskError(path, reason, "free some and run the same command again")


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes atomically."""
    with atomic_path(path, n_bytes=len(data)) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically, with the line ends as they are."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, data: Any) -> None:
    """Write JSON-ready data or a record atomically; non-finite floats become null."""
    write_text(path, dump_json(record_to_json(data)))


def read_text(path: Path) -> str:
    """Read UTF-8 text, all of which is JSON.

    Raises:
        UserError: missing, unreadable, larger than `LARGEST_JSON_BYTES`, or not UTF-8.
    """
    try:
        size = Path(path).stat().st_size
        if size > LARGEST_JSON_BYTES:
            allowed = f"at most {LARGEST_JSON_BYTES >> 20} MB are read"
            raise UserError(path, f"is {size >> 20} MB of text; {allowed}", "check where it comes from")
        return Path(path).read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise UserError(path, "does not exist", "check the path and the dataset") from None
    except UnicodeDecodeError as error:
        raise UserError(path, f"is not UTF-8 text (byte {error.start})", "save it as UTF-8") from None
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check the path") from None


def read_json(path: Path) -> Any:
    """Read JSON strictly.

    Raises:
        UserError: missing, too large, not UTF-8, or not valid JSON (with line:column).
    """
    return parse_json(read_text(path), path)


def read_record(cls: type[Record], path: Path) -> Record:
    """Read a frozen dataclass that `write_json` wrote.

    Raises:
        UserError: as `read_json`, or an unknown, missing or wrongly typed key.
    """
    return record_from_json(cls, read_json(path), path)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal, read in pieces."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that a killed process left; only while no other process writes there."""
    for leftover in Path(folder).glob(f"{TEMPORARY_PREFIX}*"):
        leftover.unlink(missing_ok=True)


def check_output_folder(folder: Path) -> None:
    """Make a folder, and prove before anything is computed that files can be written to it.

    Temporary files in it that nobody has touched for a day are what a kill left, and are removed; younger ones
    may belong to another process.

    Raises:
        UserError: it may not be written, a file stands in its place, or it lies in a raw dataset.
        DiskError: no space left.
    """
    inside = Path(folder).absolute()
    for around in (inside, *inside.parents):
        if (around / "imagesTr").is_dir() and (around / "dataset.json").is_file():
            raise UserError(
                folder, f"lies in the raw dataset {around.name}, which is never written", "choose another"
            )
    probe = Path(folder) / PROBE_NAME
    write_bytes(probe, b"can this folder be written?")
    probe.unlink(missing_ok=True)
    for leftover in Path(folder).glob(f"{TEMPORARY_PREFIX}*"):
        # another process may remove it at the same time
        with contextlib.suppress(OSError):
            if leftover.is_file() and leftover.stat().st_mtime < time.time() - SECONDS_PER_DAY:
                leftover.unlink()


def _ending(path: Path) -> str:
    suffixes = path.suffixes
    return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])


def _sync(path: Path) -> None:
    # opened for writing, because some systems sync only then
    with path.open("r+b") as stream:
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
