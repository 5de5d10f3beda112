"""Whether a folder can be worked in, tried out in a temporary folder there that is removed again."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from dd_nnunet.core.errors import DDError
from dd_nnunet.storage.atomic import read_json, write_json
from dd_nnunet.storage.folder_lock import why_no_locks


@dataclass(frozen=True)
class FolderFacts:
    """What was found out about a folder.

    Args:
        exists: it is there; otherwise the rest is about the nearest folder above it that is.
        trouble: why files cannot be written and replaced there, or None.
        lock_trouble: why locks keep nobody out there, or None.
        free_bytes: left on the disk.
    """

    exists: bool
    trouble: str | None = None
    lock_trouble: str | None = None
    free_bytes: int = 0


def probe_folder(folder: Path) -> FolderFacts:
    """Write, replace and lock a file in the folder, or where it would be made."""
    exists = False
    try:
        exists = folder.exists()
        base = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
        free_bytes = shutil.disk_usage(base).free
        with tempfile.TemporaryDirectory(prefix=".dd_probe_", dir=base) as name:
            return FolderFacts(exists, _try_replacing(Path(name)), why_no_locks(Path(name)), free_bytes)
    except (OSError, DDError) as error:
        return FolderFacts(exists, str(error))


def why_not_readable(folder: Path) -> str | None:
    """Why a folder's contents cannot be listed, or None if they can."""
    try:
        next(folder.iterdir(), None)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _try_replacing(folder: Path) -> str | None:
    path = folder / "probe.json"
    for version in ("old", "new"):
        write_json(path, version)
        if read_json(path) != version:
            return "a file that was replaced still shows its old contents"
    return None
