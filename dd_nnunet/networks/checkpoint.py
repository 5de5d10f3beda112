"""Checkpoints: tensors and plain values, written atomically with their sha256, read without pickled code."""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage.atomic import atomic_path, sha256_of, write_text

PREVIOUS = ".previous"
logger = logging.getLogger(__name__)


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint and its `.sha256`; the generation before stays as `{name}.previous`.

    Args:
        path: e.g. fold_0/diffusion/checkpoint_latest.pth.
        content: tensors, numbers, texts, and lists and dicts of them.

    Raises:
        DiskError: no space; the old checkpoint is whole.
    """
    digest_path = _digest_path(path)
    with atomic_path(path) as temporary:
        torch.save(content, temporary)
        digest = sha256_of(temporary)
        if path.exists():
            _keep_previous(path)
    write_text(digest_path, f"{digest}  {path.name}\n")


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    A file that does not match its sha256, or that torch cannot read, is passed over for the generation before.

    Raises:
        UserError: neither generation can be read.
    """
    for candidate in (path, _previous(path)):
        if candidate.exists():
            content = _read(candidate)
            if content is not None:
                return content
            logger.warning("%s is damaged and is passed over", candidate)
    raise UserError(
        path, "is damaged, missing, or holds more than tensors and plain values", "train with --fresh"
    )


def _read(path: Path) -> dict[str, Any] | None:
    if not _matches_digest(path):
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
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


def _keep_previous(path: Path) -> None:
    # two renames instead of a copy: a kill between them leaves the previous generation, which is then read
    previous = _previous(path)
    for source, target in ((_digest_path(path), _digest_path(previous)), (path, previous)):
        if source.exists():
            source.replace(target)


def _previous(path: Path) -> Path:
    return path.with_name(path.name + PREVIOUS)


def _digest_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _matches_digest(path: Path) -> bool:
    digest_path = _digest_path(path)
    if not digest_path.exists():
        # killed between the two writes: the file itself was renamed whole, torch's own reader is the check
        return True
    return digest_path.read_text(encoding="utf-8").split()[:1] == [sha256_of(path)]
