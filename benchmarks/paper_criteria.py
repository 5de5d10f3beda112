"""How criteria that need no labels go with true Dice, over the trained lines of the paper's tables."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from dd_nnunet.storage.atomic import read_json

FEWEST_RUNS = 8
# of a run's features: where these differ, so do the scales of explained variances
SCALES = ("visual_target", "scaling", "n_components", "timesteps", "n_draws")
# criteria and Dice of each run
Scored = list[tuple[dict[str, float], float]]
NAMES: Mapping[str, str] = {
    "mean_max_probability": "certainty (the paper's)",
    "effective_parts": "effective number of parts",
    "explained_visual": "explained variance of the visual target",
    "explained_features": "explained variance of the features",
    "boundary_contrast": "contrast across outlines",
    "mirror_agreement": "agreement with a mirrored copy",
    "gamma_agreement": "agreement with a copy of other gamma",
}


def criteria_table(folder: Path) -> str:
    """Spearman's rank correlation of each criterion with strict Dice, as Markdown.

    Within groups of runs whose criteria are on one scale: of the same features and visual target. Runs with the same
    criteria are of the same network, predicted in other ways: it counts once.

    Args:
        folder: of the data set, a JSON file per line.

    Returns:
        A column per level, with its mean over the groups of at least eight runs; empty where there are none.
    """
    levels = {level: groups for level, groups in sorted(_large_groups(folder).items()) if groups}
    if not levels:
        return ""
    heads = [
        f"level {level} ({sum(map(len, groups))} runs, groups: {len(groups)})"
        for level, groups in levels.items()
    ]
    lines = [f"| criterion | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    for key, name in NAMES.items():
        cells = [_mean_correlation(groups, key) for groups in levels.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _large_groups(folder: Path) -> dict[str, list[Scored]]:
    """Level -> groups of at least eight runs, each run with its criteria and Dice, where it has one."""
    found: dict[str, dict[str, dict[str, tuple[dict[str, float], float]]]] = {}
    for path in sorted(folder.glob("*.json")):
        for run in read_json(path)["runs"].values():
            for level, criteria in _criteria(run):
                if (dice := run["levels"][level]["strict"]) is not None:
                    told = [run["features"][key] for key in SCALES] + run["features"]["stages"][level]
                    network = str(sorted(criteria.items()))
                    found.setdefault(level, {}).setdefault(str(told), {})[network] = (criteria, dice)
    return {
        level: [list(group.values()) for group in groups.values() if len(group) >= FEWEST_RUNS]
        for level, groups in found.items()
    }


def _criteria(run: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, float]]]:
    """Level -> criteria of its kept epoch; nothing of rivals, which have none."""
    for name, finished in run.get("finished", {}).items():
        ends = finished.get("levels") or {name.rpartition("/")[2].removeprefix("level"): finished}
        for level, end in ends.items():
            if end.get("criteria"):
                entropy = -sum(share * math.log(share) for share in end["part_shares"] if share > 0)
                yield (
                    level,
                    {
                        **end["criteria"],
                        "mean_max_probability": end["mean_max_probability"],
                        "effective_parts": math.exp(entropy),
                    },
                )


def _mean_correlation(groups: list[Scored], key: str) -> str:
    """The mean over groups, weighted by their runs; of those in which both differ at all."""
    found = []
    for group in groups:
        criterion, dice = [criteria[key] for criteria, _ in group], [dice for _, dice in group]
        if len(set(criterion)) > 1 and len(set(dice)) > 1:
            found.append((float(spearmanr(criterion, dice).statistic), len(group)))
    if not found:
        return "–"
    return f"{sum(rank * n for rank, n in found) / sum(n for _, n in found):.2f}"
