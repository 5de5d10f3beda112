"""One process at a time in a folder."""

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import filelock

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage.atomic import disk_error, read_json, write_json

LOCK_NAME = ".lock"
MARKER_NAME = ".lock_marker"
HOLDER_NAME = ".lock_holder.json"
# what flock says on file systems without locks: some NFS and Lustre mounts, some FUSE drivers
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS)
# waiting shorter than this is not worth a line
PATIENCE_SECONDS = 1.0

_logger = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(folder: Path, wait: bool = False) -> Iterator[None]:
    """Hold the folder's lock; the system frees it when the process ends, however it ends.

    On a file system without locks a marker file stands in, with a warning: left by a killed process, it is taken
    over on the same machine only. From another one a killed process and a slow one look the same, whatever the
    marker's age.

    Args:
        folder: is made if it is missing.
        wait: for another process to free it, instead of raising an error.

    Raises:
        UserError: another process holds it, named by host and number; the folder may not be written.
    """
    # The holder's name lies beside the lock: who tries the lock in vain empties the lock file.
    holder = folder / HOLDER_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _acquire(folder, wait)
    except OSError as error:
        raise disk_error(folder, error) from error
    try:
        if holder.exists():
            _logger.warning(
                "warning: %s: %s ended without freeing its lock; taken over", folder, _holder_text(holder)
            )
        write_json(holder, {"host": socket.gethostname(), "pid": os.getpid()})
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def why_no_locks(folder: Path) -> str | None:
    """Why a lock in this folder keeps nobody out, or None if it does; `.lock` stays behind.

    Raises:
        OSError: the folder may not be written.
    """
    first, second = (filelock.FileLock(folder / LOCK_NAME) for _ in range(2))
    try:
        with first.acquire(timeout=0), second.acquire(timeout=0):
            return "two can hold one lock"
    except filelock.Timeout:
        return None
    except (OSError, NotImplementedError) as error:
        if _has_no_locks(error):
            return str(error)
        raise


def _acquire(folder: Path, wait: bool) -> filelock.BaseFileLock:
    lock: filelock.BaseFileLock = filelock.FileLock(folder / LOCK_NAME)
    try:
        _take(lock, folder, wait)
    except (OSError, NotImplementedError) as error:
        if not _has_no_locks(error):
            raise
        _logger.warning(
            "warning: %s: no locks on this file system (%s); a marker file stands in", folder, error
        )
        lock = filelock.SoftFileLock(folder / MARKER_NAME)
        _take(lock, folder, wait)
    return lock


def _take(lock: filelock.BaseFileLock, folder: Path, wait: bool) -> None:
    # a marker that a killed process left is removed at the first try and replaced at the second
    patient = wait or isinstance(lock, filelock.SoftFileLock)
    try:
        lock.acquire(timeout=PATIENCE_SECONDS if patient else 0)
    except filelock.Timeout:
        in_use = f"is in use by {_holder_text(folder / HOLDER_NAME)}"
        # filelock makes a marker of the lock itself where flock is not implemented
        is_marker = isinstance(lock, filelock.SoftFileLock)
        killed = f"; if it was killed, remove {lock.lock_file}" if is_marker else ""
        if not wait:
            raise UserError(folder, in_use, f"wait for it to end, or stop it{killed}") from None
        _logger.warning("%s %s; waiting for it to end%s", folder, in_use, killed)
        lock.acquire()


def _has_no_locks(error: Exception) -> bool:
    # older versions of filelock turn ENOSYS into NotImplementedError, newer ones use a marker themselves
    return isinstance(error, NotImplementedError) or getattr(error, "errno", None) in NO_LOCKS


def _holder_text(holder: Path) -> str:
    try:
        data = read_json(holder)
        return f"process {data['pid']} on {data['host']}"
    except (UserError, KeyError, TypeError):
        return "another process"
