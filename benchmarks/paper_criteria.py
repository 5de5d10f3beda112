"""How criteria that need no labels go with true Dice, over the trained lines of the paper's tables."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from dd_nnunet.storage.atomic import read_json

FEWEST_RUNS = 8
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
    """Spearman's rank correlation of each criterion with strict Dice over all runs of a data set, as Markdown.

    Args:
        folder: of the data set, a JSON file per line.

    Returns:
        A column per level, with the number of runs; empty where there are fewer than eight.
    """
    runs: dict[str, list[tuple[dict[str, float], float]]] = {}
    for path in sorted(folder.glob("*.json")):
        for run in read_json(path)["runs"].values():
            for level, found in _criteria(run):
                runs.setdefault(level, []).append((found, run["levels"][level]["strict"]))
    levels = sorted(level for level, found in runs.items() if len(found) >= FEWEST_RUNS)
    if not levels:
        return ""
    heads = [f"level {level} ({len(runs[level])} runs)" for level in levels]
    lines = [f"| criterion | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    for key, name in NAMES.items():
        cells = [_correlation([(found[key], dice) for found, dice in runs[level]]) for level in levels]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _criteria(run: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, float]]]:
    """Level -> criteria of its kept epoch; nothing of rivals, which have none."""
    for name, finished in run.get("finished", {}).items():
        ends = finished.get("levels") or {name.removeprefix("level"): finished}
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


def _correlation(pairs: list[tuple[float, float]]) -> str:
    criterion, dice = zip(*pairs, strict=True)
    if len(set(criterion)) == 1 or len(set(dice)) == 1:
        return "–"
    return f"{float(spearmanr(criterion, dice).statistic):.2f}"
