"""Checkpoints: tensors and plain values, written atomically with their sha256, read without pickled code."""

from pathlib import Path
from typing import Any

import torch

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage.atomic import atomic_path, sha256_of, write_text

PREVIOUS = ".previous"


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
        if candidate.exists() and _matches_digest(candidate):
            try:
                content = torch.load(candidate, map_location="cpu", weights_only=True)
            # torch raises errors of many kinds for a damaged or malicious file
            except Exception:
                continue
            if isinstance(content, dict):
                return content
    raise UserError(
        path, "is damaged, missing, or holds more than tensors and plain values", "train with --fresh"
    )


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
