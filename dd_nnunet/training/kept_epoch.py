"""The epoch that a segmenter is kept at: saved while training, and what it came to in the end."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import nn

from dd_nnunet.core.plan import LevelGroup
from dd_nnunet.networks.checkpoint import load_checkpoint, save_checkpoint
from dd_nnunet.storage.run_folder import RunFolder
from dd_nnunet.training.criteria import Criteria
from dd_nnunet.training.selection import PartStatistics

BEST, FINAL = "checkpoint_best.pth", "checkpoint_final.pth"


@dataclass(frozen=True)
class LevelResult:
    """What training a level came to.

    Args:
        epoch: the kept one.
        statistics: of the kept epoch, in canonical part numbers.
        collapsed: fewer parts alive than planned.
    """

    epoch: int
    statistics: PartStatistics
    collapsed: bool


def keep_epoch(
    folder: Path, network: nn.Module, levels: Sequence[PartStatistics], order: Sequence[int], epoch: int
) -> None:
    """Save an epoch as the best one so far.

    Args:
        folder: of the run.
        network: as it is now.
        levels: statistics of each level.
        order: which output of the network is which part, over the parts of all levels.
        epoch: its number.
    """
    statistics = [
        {
            "shares": list(level.shares),
            "border_shares": list(level.border_shares),
            "mean_max_probability": level.mean_max_probability,
            "effective_parts": level.effective_parts,
            "criteria": asdict(level.criteria) if level.criteria else {},
        }
        for level in levels
    ]
    content = {"network": network.state_dict(), "order": list(order), "epoch": epoch, "levels": statistics}
    save_checkpoint(folder / BEST, content)


def finish(run: RunFolder, group: LevelGroup) -> tuple[LevelResult, ...]:
    """Make the best epoch the final one; one result per level, with a warning for each that lost parts."""
    best = load_checkpoint(run.path / BEST)
    save_checkpoint(run.path / FINAL, best)
    results = []
    for level, channels, kept in zip(group.levels, group.tree.channels, best["levels"], strict=True):
        order = [k - channels.start for k in best["order"][channels]]
        statistics = PartStatistics(
            tuple(kept["shares"][k] for k in order),
            kept["mean_max_probability"],
            kept["effective_parts"],
            tuple(kept["border_shares"][k] for k in order),
            Criteria(**kept["criteria"]) if kept.get("criteria") else None,
        )
        collapsed = statistics.alive_parts < level.n_parts
        if collapsed:
            text = "level %d COLLAPSED: only %d of %d parts are alive"
            run.logger.warning(text, level.level, statistics.alive_parts, level.n_parts)
        results.append(LevelResult(int(best["epoch"]), statistics, collapsed))
    return tuple(results)
