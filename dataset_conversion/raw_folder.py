"""Raw datasets in nnU-Net's layout, made whole or not at all; every converter writes through here."""

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock
import numpy.typing as npt

from dd_nnunet.core.case import Geometry
from dd_nnunet.core.dataset import DATASET_NAME, check_case_id, describe_dataset
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.json_record import record_to_json
from dd_nnunet.core.splits import Fold
from dd_nnunet.storage.atomic import TEMPORARY_PREFIX, disk_error, read_json, write_json
from dd_nnunet.storage.splits import SPLITS_NAME
from dd_nnunet.storage.volume import write_image
from dd_nnunet.storage.workspace import Workspace

FILE_ENDING = ".nii.gz"
# in dataset.json; only datasets that say so may be replaced
MAKER = "dd_nnunet"


def dataset_name(dataset_id: int, name: str) -> str:
    """Return the full name, e.g. "Dataset007_Cells".

    Raises:
        UserError: an id below 1 or a name that no folder should have.
    """
    if dataset_id < 1:
        raise UserError("-d", f"the dataset id is {dataset_id}, at least 1 is expected", "e.g. -d 7")
    full_name = f"Dataset{dataset_id:03d}_{name}"
    if not DATASET_NAME.fullmatch(full_name):
        raise UserError(
            "the dataset's name", f"{name!r} is not allowed", "use letters, digits, '_', '-', '+', '.' only"
        )
    return full_name


@contextlib.contextmanager
def new_dataset(workspace: Workspace, full_name: str, overwrite: bool) -> Iterator[Path]:
    """Yield an empty folder to fill; on success it becomes the raw dataset, on error it is removed.

    Args:
        workspace: its raw folder takes the dataset (and is made if missing).
        full_name: as `dataset_name` returns it.
        overwrite: replace an existing dataset of that name, if dd_nnunet has made it.

    Raises:
        UserError: the dataset exists, another one has its number, or another process is making it.
        DiskError: no space left; what stood there is kept.
    """
    raw = workspace.own_raw_folder()
    target, temporary = raw / full_name, raw / f"{TEMPORARY_PREFIX}{full_name}"
    _refuse_taken(workspace, full_name, overwrite)
    try:
        raw.mkdir(parents=True, exist_ok=True)
        with _only_process(temporary.with_name(f"{temporary.name}.lock"), target):
            # a killed run may have left it
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            try:
                yield temporary
                _replace_folder(temporary, target)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise disk_error(target, error) from error


def plain_geometry(shape_zyx: Sequence[int]) -> Geometry:
    """Of volumes that say nothing of it: voxels of 1 mm, the first at 0, along the axes."""
    z, y, x = shape_zyx
    return Geometry(
        (x, y, z), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    )


def write_channels(
    images: Path, case_id: str, channels_zyx: Sequence[npt.NDArray[Any]], geometry: Geometry
) -> None:
    """Write the channels [Z,Y,X] of one case as {case}_0000.nii.gz, {case}_0001.nii.gz and so on."""
    check_case_id(case_id, images)
    for channel, array_zyx in enumerate(channels_zyx):
        write_image(images / f"{case_id}_{channel:04d}{FILE_ENDING}", array_zyx, geometry)


def write_dataset_json(
    folder: Path,
    channel_names: Sequence[str],
    n_training: int,
    labels: Mapping[str, int],
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write dataset.json, after checking that it reads back.

    Args:
        folder: the dataset's folder.
        channel_names: in channel order.
        n_training: cases in imagesTr.
        labels: true labels by name; empty where there are none.
        extra: further entries, e.g. `parts` and `levels`.
    """
    entries = {
        "channel_names": {str(channel): name for channel, name in enumerate(channel_names)},
        "labels": dict(labels),
        "numTraining": n_training,
        "file_ending": FILE_ENDING,
        "made_by": MAKER,
        **(extra or {}),
    }
    data = record_to_json(entries)
    describe_dataset(data, folder / "dataset.json")
    write_json(folder / "dataset.json", data)


def write_given_splits(folder: Path, folds: Sequence[Fold]) -> None:
    """Write the folds that belong to a dataset; planning takes them instead of making its own."""
    write_json(folder / SPLITS_NAME, folds)


def _refuse_taken(workspace: Workspace, full_name: str, overwrite: bool) -> None:
    number = _number(full_name)
    others = [n for n in workspace.dataset_names() if _number(n) == number and n != full_name]
    if others:
        raise UserError(full_name, f"its number is taken by {', '.join(others)}", "choose another id")
    target = workspace.own_raw_folder() / full_name
    if not target.exists():
        return
    if not overwrite:
        raise UserError(target, "exists", "choose another id, or give --overwrite to replace it")
    data = read_json(target / "dataset.json")
    if not isinstance(data, dict) or data.get("made_by") != MAKER:
        raise UserError(target, "was not made by dd_nnunet and is not replaced", "choose another id")


def _number(full_name: str) -> int:
    return int(full_name.removeprefix("Dataset").partition("_")[0])


@contextlib.contextmanager
def _only_process(lock_file: Path, target: Path) -> Iterator[None]:
    lock = filelock.FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise UserError(target, "is being made by another process", "wait until it has ended") from None
    try:
        yield
    finally:
        # some systems cannot remove a file that is open
        with contextlib.suppress(OSError):
            lock_file.unlink(missing_ok=True)
        lock.release()


def _replace_folder(new: Path, target: Path) -> None:
    """Rename `new` to `target`; an old one is first put aside, as a full folder cannot be replaced."""
    old = new.with_name(f"{new.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)
