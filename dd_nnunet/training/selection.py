"""Which epoch is kept, and which part is which, without labels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dd_nnunet.training.criteria import Criteria

ALIVE_SHARE = 2e-4


@dataclass(frozen=True)
class PartStatistics:
    """How a segmenter splits the monitored training volumes.

    Args:
        shares: per part, the share of voxels it wins (argmax), over all volumes.
        mean_max_probability: mean over voxels and volumes of the largest part probability: the paper's criterion.
        effective_parts: exp of the entropy of `shares`.
        border_shares: per part, the share of the volumes' outermost voxels it wins.
        criteria: what speaks for the division, beside that; None where it was not measured.
    """

    shares: tuple[float, ...]
    mean_max_probability: float
    effective_parts: float
    border_shares: tuple[float, ...]
    criteria: Criteria | None = None

    @property
    def dead_parts(self) -> tuple[int, ...]:
        """Parts that win (almost) no voxel: below 2 in 10 000."""
        return tuple(k for k, share in enumerate(self.shares) if share < ALIVE_SHARE)

    @property
    def alive_parts(self) -> int:
        """Number of the others."""
        return len(self.shares) - len(self.dead_parts)


class PartCounter:
    """Collects `PartStatistics` volume by volume."""

    def __init__(self, n_parts: int) -> None:
        self.n_parts = n_parts
        self.counts = torch.zeros(n_parts, dtype=torch.int64)
        self.border_counts = torch.zeros(n_parts, dtype=torch.int64)
        self.sum_max = 0.0

    def add(self, owner: Tensor, largest: Tensor) -> None:
        """Count one whole volume.

        Args:
            owner: [Z,Y,X] int64, the part with the largest probability at each voxel.
            largest: [Z,Y,X] that probability.
        """
        counts = torch.bincount(owner.flatten(), minlength=self.n_parts)
        inner_counts = torch.bincount(owner[1:-1, 1:-1, 1:-1].flatten(), minlength=self.n_parts)
        self.sum_max += float(largest.double().sum())
        self.counts += counts
        self.border_counts += counts - inner_counts

    def statistics(self) -> PartStatistics:
        """What was counted."""
        total = int(self.counts.sum())
        shares = tuple((self.counts.double() / total).tolist())
        border = tuple((self.border_counts.double() / max(int(self.border_counts.sum()), 1)).tolist())
        entropy = -sum(share * math.log(share) for share in shares if share > 0)
        return PartStatistics(shares, self.sum_max / total, math.exp(entropy), border)


def selection_rank(
    levels: Sequence[PartStatistics], phase: str, kept_epoch: str = "alive"
) -> tuple[int, int, float]:
    """What the kept epoch has most of: living parts, then training by the losses, then certainty.

    The gate on living parts comes first because mean largest probability alone rewards a collapsed solution; with
    `kept_epoch` "certain" there is none, and the phase does not count.

    Args:
        levels: statistics of every level of the network; living parts add up, certainty is averaged.
        phase: "warm_start" or "discovery".
        kept_epoch: of the plan.

    Source: the last criterion is that of section 4.2 of the paper.
    """
    certainty = sum(level.mean_max_probability for level in levels) / len(levels)
    if kept_epoch == "certain":
        return (0, 0, certainty)
    return (sum(level.alive_parts for level in levels), int(phase == "discovery"), certainty)


def canonical_order(statistics: PartStatistics) -> tuple[int, ...]:
    """Old part numbers in their canonical order, where numbers mean nothing yet.

    Part 0 is the part that owns most border voxels (the background), the rest follow by falling volume.
    """
    background = int(np.argmax(statistics.border_shares))
    rest = [k for k in range(len(statistics.shares)) if k != background]
    return (background, *sorted(rest, key=lambda k: (-statistics.shares[k], k)))


def as_log(statistics: PartStatistics) -> dict[str, Any]:
    """The entries of log.jsonl."""
    return {
        "mean_max_probability": statistics.mean_max_probability,
        "effective_parts": statistics.effective_parts,
        "alive_parts": statistics.alive_parts,
        "part_shares": list(statistics.shares),
        "criteria": statistics.criteria and asdict(statistics.criteria),
    }


def merged_log(
    numbers: Sequence[int], entries: Sequence[dict[str, Any]], means: Mapping[str, float]
) -> dict[str, Any]:
    """Entries of log.jsonl of one or several levels.

    Args:
        numbers: of the levels.
        entries: `as_log` of each, with "reseeded".
        means: of the losses; those named "level2/feature", say, belong to a level.

    Returns:
        The entry of a single level; or living parts together, mean certainty, and under "levels" by the level's
        number the entry of each with its losses.
    """
    if len(entries) == 1:
        return entries[0]
    levels = {}
    for number, entry in zip(numbers, entries, strict=True):
        start = f"level{number}/"
        losses = {name.removeprefix(start): value for name, value in means.items() if name.startswith(start)}
        levels[str(number)] = {**losses, **entry}
    return {
        "mean_max_probability": sum(entry["mean_max_probability"] for entry in entries) / len(entries),
        "alive_parts": sum(entry["alive_parts"] for entry in entries),
        "levels": levels,
    }
