"""Checkpoints: tensors and plain values, written atomically with their sha256, read without pickled code."""

import hashlib
import io
import logging
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage.atomic import atomic_path, sha256_of, write_text

PREVIOUS = ".previous"
logger = logging.getLogger(__name__)


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint; the generation before stays as `{name}.previous`.

    `{name}.sha256` lists both, and is there before either of them is renamed. So wherever a kill falls, one of
    the two is whole and listed; a damaged one never takes the place of a whole one.

    Args:
        path: e.g. fold_0/diffusion/checkpoint_latest.pth.
        content: tensors, numbers, texts, and lists and dicts of them; the same content gives the same bytes.

    Raises:
        DiskError: no space; the old checkpoint is whole and in its place.
    """
    previous = _previous(path)
    with atomic_path(path) as temporary:
        # into a stream: given a name, torch writes it into the file and hides that the disk is full
        with _HashedWriter(temporary) as stream:
            try:
                torch.save(content, stream)
            except RuntimeError as error:
                # torch ends its archive when the disk fails, and raises an error of its own over the disk's
                raise stream.failure or error from None
            stream.flush()
            os.fsync(stream.fileno())
        digests = {path.name: stream.sha256.hexdigest()}
        # read again: damage since it was saved must not push out the whole generation before it, and the list
        # alone may be newer than the file, where a save was killed in between
        old = _listed_digest(path, path)
        kept = old or _listed_digest(previous, path)
        if kept:
            digests[previous.name] = kept
        write_text(_list_path(path), "".join(f"{digest}  {name}\n" for name, digest in digests.items()))
        if old:
            path.replace(previous)


class _HashedWriter(io.BufferedWriter):
    """Keeps the sha256 of what is written, in order, so that the file need not be read for it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.open("wb", buffering=0))
        self.sha256 = hashlib.sha256()
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        try:
            return super().write(data)
        except OSError as error:
            self.failure = error
            raise


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    A file whose sha256 is not listed, or that torch cannot read, is passed over for the generation before.

    Raises:
        UserError: neither generation can be read.
    """
    for candidate in (path, _previous(path)):
        content = _read(candidate, path)
        if content is not None:
            if candidate != path:
                logger.warning("%s is damaged or missing; the generation before it is taken", path)
            return content
    raise UserError(
        path, "is damaged, missing, or holds more than tensors and plain values", "train with --fresh"
    )


def _read(candidate: Path, path: Path) -> dict[str, Any] | None:
    if _listed_digest(candidate, path) is None:
        return None
    try:
        content = torch.load(candidate, map_location="cpu", weights_only=True)
    # torch raises errors of many kinds for a damaged or malicious file
    except Exception:
        return None
    return content if isinstance(content, dict) else None


def load_weights(network: nn.Module, weights: dict[str, torch.Tensor], where: Path) -> None:
    """Put weights into a network.

    Raises:
        UserError: they are those of another network; names the first difference.
    """
    check_weights(network, weights, where)
    network.load_state_dict(weights)


def check_weights(network: nn.Module, weights: dict[str, torch.Tensor], where: Path) -> None:
    """Compare the names and shapes of weights with those of a network, which may lie on the meta device.

    Raises:
        UserError: they are those of another network; names the first difference.
    """
    wanted = network.state_dict()
    names = [name for name in sorted({*wanted, *weights}) if name not in wanted or name not in weights]
    if names:
        reason = f"is of another network ({names[0]} is in one of them only)"
        raise UserError(where, reason, "use the plan it was trained with")
    for name, tensor in wanted.items():
        if tensor.shape != weights[name].shape:
            reason = (
                f"{name} has shape {tuple(weights[name].shape)}, the plan's network {tuple(tensor.shape)}"
            )
            raise UserError(where, f"is of another network: {reason}", "use the plan it was trained with")


def checkpoint_exists(path: Path) -> bool:
    """Whether a checkpoint or its previous generation is there."""
    return path.exists() or _previous(path).exists()


def _previous(path: Path) -> Path:
    return path.with_name(path.name + PREVIOUS)


def _list_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _listed_digest(candidate: Path, path: Path) -> str | None:
    """The sha256 of a generation of `path`, or None if it is missing or not as it was saved."""
    if not candidate.is_file():
        return None
    digest = sha256_of(candidate)
    listing = _list_path(path)
    # a file from elsewhere may come without a list; torch's own reader is the check then
    is_listed = not listing.exists() or digest.encode() in listing.read_bytes().split()
    return digest if is_listed else None
