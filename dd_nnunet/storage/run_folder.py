"""The folder of one training: locked while in use, sure of its identity, with its logs."""

import contextlib
import datetime
import importlib.metadata
import itertools
import json
import logging
import os
import platform
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dd_nnunet import __version__
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.json_difference import differences
from dd_nnunet.core.json_record import parse_json, record_to_json
from dd_nnunet.storage.atomic import (
    disk_error,
    read_record,
    remove_leftovers,
    write_json,
    write_text,
)
from dd_nnunet.storage.folder_lock import HOLDER_NAME, LOCK_NAME, locked
from dd_nnunet.storage.hardware import nvidia_driver

RECORDED_PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "SimpleITK",
    "batchgenerators",
    "dynamic-network-architectures",
    "blosc2",
)
Entry = dict[str, Any]


@dataclass(frozen=True)
class Start:
    """When, where and with which versions a run was started or resumed."""

    time: str
    host: str
    pid: int
    versions: dict[str, str | None]


@dataclass(frozen=True)
class RunRecord:
    """debug.json: what makes this run the same run, and its starts, oldest first."""

    identity: dict[str, Any]
    starts: tuple[Start, ...]


class RunFolder:
    """An open run folder; made by `open_run_folder` only, which holds its lock.

    Args:
        path: the folder.
        logger: writes to the folder's text log and to the console.
    """

    def __init__(self, path: Path, logger: logging.Logger) -> None:
        self.path = path
        self.logger = logger

    @property
    def log_path(self) -> Path:
        """The log for programs: one JSON object per line and epoch."""
        return self.path / "log.jsonl"

    @property
    def finished(self) -> bool:
        """Whether `mark_finished` was reached, in this run or an earlier one."""
        return is_finished(self.path)

    def mark_finished(self, summary: Mapping[str, object]) -> None:
        """Write finished.json, the last act of a run."""
        write_json(_finished_path(self.path), dict(summary))

    def append_log(self, entry: Mapping[str, object]) -> None:
        """Append a line to log.jsonl and sync it; a line that does not fit on the disk is taken back.

        Raises:
            DiskError: no space left.
        """
        line = json.dumps(record_to_json(dict(entry)), ensure_ascii=False, allow_nan=False) + "\n"
        try:
            with self.log_path.open("ab", buffering=0) as stream:
                start = stream.tell()
                try:
                    stream.write(line.encode("utf-8"))
                    os.fsync(stream.fileno())
                except OSError:
                    stream.truncate(start)
                    raise
        except OSError as error:
            raise disk_error(self.log_path, error) from error

    def read_log(self) -> list[Entry]:
        """All entries of log.jsonl; a last line torn by a kill is left out.

        Raises:
            UserError: a line before the last is no JSON.
        """
        if not self.log_path.exists():
            return []
        *lines, torn = self.log_path.read_bytes().split(b"\n")
        entries = [_parse_line(line, self.log_path, number) for number, line in enumerate(lines, start=1)]
        if torn:
            self.logger.warning("%s: the last line was cut off and is left out", self.log_path)
        return entries

    def truncate_log(self, keep: Callable[[Entry], bool]) -> None:
        """Keep only the entries for which `keep` is true, e.g. those before the checkpoint resumed from."""
        if not self.log_path.exists():
            return
        kept = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in self.read_log() if keep(entry)]
        write_text(self.log_path, "".join(kept))


@contextlib.contextmanager
def open_run_folder(
    path: Path, identity: Mapping[str, object], same_versions: bool = False
) -> Iterator[RunFolder]:
    """Make or reopen a run folder and hold its lock.

    Args:
        path: the folder, made if it is missing.
        identity: what makes this run the same run (plan, fold, seed …), written to debug.json at first.
        same_versions: refuse to go on with other versions than the last start's, instead of warning.

    Raises:
        UserError: another process holds it; it belongs to a run of another identity; it may not be written;
            versions changed where they must not.
    """
    path = Path(path)
    with locked(path):
        remove_leftovers(path)
        changes = _record_start(_record_path(path), record_to_json(dict(identity)), same_versions)
        with _text_logger(path) as logger:
            run = RunFolder(path, logger)
            if run.log_path.exists() and not run.log_path.read_bytes().endswith(b"\n"):
                run.truncate_log(lambda entry: True)
            for change in changes:
                logger.warning("%s: %s since the last start", path, change)
            yield run


def is_finished(path: Path) -> bool:
    """Whether the run in this folder was finished; the folder may be missing."""
    return _finished_path(Path(path)).exists()


def identity_of(path: Path) -> Entry:
    """What makes the run in this folder the same run; empty where none was recorded, of an installed model, say."""
    record = _record_path(path)
    return read_record(RunRecord, record).identity if record.exists() else {}


def was_brought(path: Path) -> bool:
    """Whether a folder holds a final checkpoint that no run here has written: one of an installed model, say."""
    return (path / "checkpoint_final.pth").exists() and not _record_path(path).exists()


def move_aside(path: Path) -> Path | None:
    """Rename a run folder, or a folder of run folders, to `{name}.bak_DATE` for a fresh start.

    Returns:
        The new path, or None where there was nothing to move.

    Raises:
        UserError: another process is using it.
    """
    path = Path(path)
    if not path.exists():
        return None
    target = _free_name(path.with_name(f"{path.name}.bak_{_timestamp()}"))
    with contextlib.ExitStack() as locks:
        for folder in {path, *(lock.parent for lock in path.rglob(LOCK_NAME))}:
            locks.enter_context(locked(folder))
        path.rename(target)
    for holder in target.rglob(HOLDER_NAME):
        holder.unlink()
    return target


def _record_start(path: Path, identity: Entry, same_versions: bool) -> list[str]:
    """Check debug.json against this run, or write the first one; add this start to it.

    Returns:
        What differs in the versions since the last start, as texts.
    """
    record = read_record(RunRecord, path) if path.exists() else RunRecord(identity, ())
    _check_identity(path.parent, record.identity, identity)
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    start = Start(now, socket.gethostname(), os.getpid(), _versions())
    last = record.starts[-1] if record.starts else start
    changes = [f"{name} changed from {a} to {b}" for name, a, b in differences(last.versions, start.versions)]
    if changes and same_versions:
        remedy = "install the old versions, or leave out --strict_env"
        raise UserError(path.parent, f"{'; '.join(changes)} since the last start", remedy)
    write_json(path, RunRecord(identity, (*record.starts, start)))
    return changes


def _check_identity(folder: Path, old: Entry, new: Entry) -> None:
    changes = [f"{key} was {a}, now {b}" for key, a, b in differences(old, new)]
    if changes:
        shown = "; ".join(changes[:5]) + ("; …" if len(changes) > 5 else "")
        raise UserError(
            folder,
            f"holds a run of another identity: {shown}",
            "--fresh moves it aside and starts anew, or choose the old values",
        )


def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {"dd_nnunet": __version__, "python": platform.python_version()}
    versions["nvidia_driver"] = nvidia_driver()
    for package in RECORDED_PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions


@contextlib.contextmanager
def _text_logger(path: Path) -> Iterator[logging.Logger]:
    # dots would make a hierarchy of loggers out of the path
    logger = logging.getLogger(f"dd_nnunet.run.{str(path.resolve()).replace('.', '_')}")
    # a clock that jumps back and a container that counts processes from 1 give the same name twice
    log_path = _free_name(path / f"training_log_{_timestamp()}_{os.getpid()}", ".txt")
    handler = logging.FileHandler(log_path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    # all that is said while the folder is open, a damaged checkpoint passed over, say
    package = logging.getLogger("dd_nnunet")
    package.addHandler(handler)
    # the file is complete whatever the console shows
    logger.setLevel(logging.INFO)
    try:
        yield logger
    finally:
        package.removeHandler(handler)
        handler.close()


def _timestamp() -> str:
    return datetime.datetime.now().strftime("%Y_%m_%d_%H_%M_%S")


def _free_name(path: Path, ending: str = "") -> Path:
    """The path with its ending, or with a number before that the first that nothing stands at."""
    numbers = itertools.chain([""], (f"_{number}" for number in itertools.count(2)))
    candidates = (path.with_name(f"{path.name}{number}{ending}") for number in numbers)
    return next(candidate for candidate in candidates if not candidate.exists())


def _record_path(path: Path) -> Path:
    return path / "debug.json"


def _finished_path(path: Path) -> Path:
    return path / "finished.json"


def _parse_line(line: bytes, path: Path, number: int) -> Entry:
    where = f"{path}:{number}"
    try:
        entry = parse_json(line.decode("utf-8"), where)
    except (UserError, UnicodeDecodeError):
        entry = None
    if not isinstance(entry, dict):
        raise UserError(where, "is no JSON line", "start anew with --fresh")
    return entry
