"""The checks of dd_doctor: facts of the other rooms, judged."""

import errno
import functools
import importlib
import os
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import dd_nnunet
from dd_nnunet.core.units import GB, counted
from dd_nnunet.storage import hardware
from dd_nnunet.storage.requirements import Requirement, requirements
from dd_nnunet.storage.workspace import VARIABLES, Workspace

if TYPE_CHECKING:
    # a broken library must be a line of the table, so it is imported by the check that needs it
    from dd_nnunet.networks.device import Device
    from dd_nnunet.storage.folder_probe import FolderFacts

State = Literal["ok", "warning", "problem"]
INSTALL = "pip install -c constraints.txt -e ."
LOW_DISK_GB, NO_DISK_GB = 5.0, 0.1
LOW_RAM_GB, NO_RAM_GB = 4.0, 1.0
FEW_FILES = 256


@dataclass(frozen=True)
class Check:
    """One line of the table.

    Args:
        name: what was looked at.
        state: "problem" stands in the way, "warning" may.
        found: what was found.
        remedy: what to do, empty where all is well.
    """

    name: str
    state: State
    found: str
    remedy: str = ""


def examine(workspace: Workspace) -> tuple[Check, ...]:
    """All checks; one that fails itself is a problem of its own and does not end the others."""
    prepared, results = workspace.preprocessed, workspace.results
    probe = functools.cache(_probe)
    questions: dict[str, Callable[[], Check]] = {
        "versions": lambda: check_versions(requirements()),
        "modules": check_modules,
        "networks": check_networks,
        "dd_raw": lambda: check_raw(workspace),
        "dd_preprocessed": lambda: check_folder("dd_preprocessed", prepared, probe(prepared)),
        "dd_results": lambda: check_folder("dd_results", results, probe(results)),
        "locks": lambda: check_locks(
            {str(folder): probe(folder) for folder in (prepared, results) if folder}
        ),
        "devices": lambda: check_devices(_devices(), hardware.has_nvidia_gpu()),
        "processors": lambda: check_processors(hardware.cpu_count(), os.cpu_count() or 1),
        "memory": lambda: check_memory(hardware.available_ram_bytes()),
        "shared memory": lambda: check_shared_memory(
            hardware.shared_memory_bytes(), hardware.why_no_processes()
        ),
        "open files": lambda: check_open_files(hardware.open_file_limit()),
    }
    return tuple(_answer(name, question) for name, question in questions.items())


def check_versions(wanted: Sequence[Requirement]) -> Check:
    """Python and the packages, against the ranges of setup.py."""
    if not wanted:
        return Check("versions", "warning", "dd_nnunet is not installed, nothing to compare with", INSTALL)
    unmet = [f"{r.package} {r.found or 'missing'} (wanted {r.wanted})" for r in wanted if not r.met]
    if unmet:
        return Check("versions", "problem", "; ".join(unmet), INSTALL)
    return Check("versions", "ok", f"Python {wanted[0].found}; {len(wanted) - 1} packages are as wanted")


def check_modules() -> Check:
    """Every module of dd_nnunet can be imported, and with it every package that is used."""
    names = [module.name for module in pkgutil.walk_packages(dd_nnunet.__path__, "dd_nnunet.")]
    broken = []
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            broken.append(f"{name}: {type(error).__name__}: {error}")
    if broken:
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        return Check("modules", "problem", f"{broken[0]}{more}", INSTALL)
    return Check("modules", "ok", f"all {len(names)} can be imported")


def check_networks() -> Check:
    """dynamic-network-architectures and torch give the networks that we build on."""
    from dd_nnunet.networks.contract import try_networks
    from dd_nnunet.networks.device import list_devices

    device = try_networks(list_devices()[0].kind)
    return Check("networks", "ok", f"small ones run forward and backward on {device}")


def check_raw(workspace: Workspace) -> Check:
    """The raw folder, if there is one, can be read; it is not written, not even to try."""
    from dd_nnunet.storage.folder_probe import why_not_readable

    raw = workspace.raw
    if raw is None:
        remedy = "export dd_raw=DIR, or give --raw DIR; predicting needs none"
        return Check("dd_raw", "warning", "not set", remedy)
    trouble = why_not_readable(raw)
    if trouble == os.strerror(errno.ENOENT):
        remedy = "converters make it, predicting needs none; if data should be there, correct the path"
        return Check("dd_raw", "warning", f"{raw}: {trouble}", remedy)
    if trouble is not None:
        return Check("dd_raw", "problem", f"{raw}: {trouble}", "correct the path or its permissions")
    ours = "" if workspace.raw_is_ours else f" ({VARIABLES['raw'][1]}: never written)"
    n_datasets = len(Workspace(raw, None, None).dataset_names())
    return Check("dd_raw", "ok", f"{raw}{ours}, {counted(n_datasets, 'dataset')}")


def check_folder(name: str, folder: Path | None, facts: "FolderFacts | None") -> Check:
    """A folder of ours is set, can be written, and has room."""
    if folder is None or facts is None:
        return Check(
            name, "problem", "not set", f"export {name}=DIR, or give --{name.removeprefix('dd_')} DIR"
        )
    if facts.trouble is not None:
        return Check(name, "problem", f"{folder}: {facts.trouble}", "choose a folder that you may write")
    free_gb = facts.free_bytes / GB
    found = f"{folder}{'' if facts.exists else ' (made when needed)'}, {free_gb:.1f} GB free"
    if free_gb < LOW_DISK_GB:
        state: State = "problem" if free_gb < NO_DISK_GB else "warning"
        return Check(name, state, found, "free some space, or choose another disk")
    return Check(name, "ok", found)


def check_locks(facts: "dict[str, FolderFacts | None]") -> Check:
    """Locks keep a second process out of the folders."""
    tried = {folder: f for folder, f in facts.items() if f is not None and f.trouble is None}
    without = [f"{folder}: {f.lock_trouble}" for folder, f in tried.items() if f.lock_trouble]
    if without:
        found = "; ".join(without)
        remedy = "do not start the same fold or dataset twice; mount the disk with locks, or choose another"
        return Check("locks", "warning", found, remedy)
    if not tried:
        return Check("locks", "warning", "not tried, there is no folder to try them in", "set the folders")
    return Check("locks", "ok", "keep a second process out; files are replaced whole")


def check_devices(devices: "Sequence[Device]", has_nvidia_gpu: bool) -> Check:
    """What torch can compute on, and whether it misses a GPU that is there."""
    texts = [
        f"{d.kind}: {d.name}, {d.memory_bytes / GB:.1f} GB, {'fast' if d.fast_bf16 else 'no fast'} bfloat16"
        for d in devices
    ]
    found = "; ".join(texts)
    if has_nvidia_gpu and all(device.kind != "cuda" for device in devices):
        remedy = "install a torch built for CUDA: https://pytorch.org/get-started/locally"
        return Check(
            "devices", "warning", f"an NVIDIA driver is here, but torch finds no GPU; {found}", remedy
        )
    return Check("devices", "ok", found)


def check_processors(n_usable: int, n_present: int) -> Check:
    """How many processors may be used."""
    return Check("processors", "ok", f"{n_usable} of {n_present} may be used")


def check_memory(available_bytes: int) -> Check:
    """Memory that is free, within the limit of a container."""
    available_gb = available_bytes / GB
    found = f"{available_gb:.1f} GB can be used now"
    if available_gb < LOW_RAM_GB:
        state: State = "problem" if available_gb < NO_RAM_GB else "warning"
        return Check("memory", state, found, "end other programs, raise the container's limit, or give -np 1")
    return Check("memory", "ok", found)


def check_shared_memory(free_bytes: int | None, why_no_processes: str | None) -> Check:
    """Whether processes can be started; the room itself is hardly needed."""
    if why_no_processes is not None:
        remedy = "start the container with --shm-size=64m or more; without, one process does all the work"
        return Check("shared memory", "warning", why_no_processes, remedy)
    room = "" if free_bytes is None else f"; {free_bytes / GB:.2f} GB free in /dev/shm"
    return Check("shared memory", "ok", f"processes can be started{room}")


def check_open_files(limit: int | None) -> Check:
    """How many files may be open at once."""
    if limit is not None and limit < FEW_FILES:
        return Check("open files", "warning", f"at most {limit}", "ulimit -n 1024")
    return Check("open files", "ok", "any number" if limit is None else f"up to {limit}")


def _probe(folder: Path | None) -> "FolderFacts | None":
    from dd_nnunet.storage.folder_probe import probe_folder

    return None if folder is None else probe_folder(folder)


def _devices() -> "tuple[Device, ...]":
    from dd_nnunet.networks.device import list_devices

    return list_devices()


def _answer(name: str, question: Callable[[], Check]) -> Check:
    try:
        return question()
    except Exception as error:
        return Check(name, "problem", f"{type(error).__name__}: {error}", INSTALL)
