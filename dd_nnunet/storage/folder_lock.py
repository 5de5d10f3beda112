"""One process at a time in a folder."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import filelock

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage.atomic import disk_error, read_json, write_json

LOCK_NAME = ".lock"
HOLDER_NAME = ".lock_holder.json"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system frees it when the process ends, however it ends.

    Raises:
        UserError: another process holds it, named by host and number.
    """
    # The holder's name lies beside the lock: who tries the lock in vain empties the lock file.
    lock, holder = filelock.FileLock(folder / LOCK_NAME), folder / HOLDER_NAME
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise UserError(
            folder, f"is in use by {_holder_text(holder)}", "wait for it to end, or stop it"
        ) from None
    except OSError as error:
        raise disk_error(folder, error) from error
    try:
        write_json(holder, {"host": socket.gethostname(), "pid": os.getpid()})
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _holder_text(holder: Path) -> str:
    try:
        data = read_json(holder)
        return f"process {data['pid']} on {data['host']}"
    except (UserError, KeyError, TypeError):
        return "another process"
