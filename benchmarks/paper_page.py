"""The tables of an effort as Markdown, made from its rows; no number is made here."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from paper_criteria import criteria_table
from paper_rows import EFFORTS, TABLES, Cells, Effort, Real, Table

from dd_nnunet.evaluation.metrics import bootstrap_interval
from dd_nnunet.storage.atomic import read_json

Row = Mapping[str, Any]
PROTOCOLS = ("hsu", "strict")
# Table 1 of arXiv 2305.00067, Dice of levels 1, 2, 3; by the `hsu` protocol, on other volumes than ours
PUBLISHED: Mapping[str, Mapping[str, tuple[float, float, float]]] = {
    "regular": {
        "the paper": (0.986, 0.577, 0.397),
        "Hsu et al. 2021": (0.952, 0.541, 0.216),
        "BM4D + k-means": (0.949, 0.529, 0.335),
        "k-means": (0.808, 0.326, 0.149),
    },
    "irregular": {
        "the paper": (0.967, 0.565, 0.382),
        "Hsu et al. 2021": (0.953, 0.488, 0.199),
        "BM4D + k-means": (0.950, 0.533, 0.324),
        "k-means": (0.771, 0.299, 0.118),
    },
}
OF_CRITERIA = (
    "Spearman's rank correlation with `strict` Dice of the test cases, over all lines and seeds above. The criteria "
    "are those of the kept epoch, on training cases."
)
HEAD = """\
# {name}: {because}

Made by `python benchmarks/paper_tables.py --work DIR --effort {name}`; preset `{preset}`, seeds {seeds}. Every cell
is the mean over seeds ± their standard deviation; in brackets the 95 % interval over images (bootstrap, each
image's mean over seeds). `hsu` and `strict` are [two protocols](../../../documentation/explanation/evaluation.md).
The JSON files beside this page hold devices, versions, times and scores of every image. Only the scores see labels.
"""


def page(rows: Path, name: str) -> str:
    """The whole page.

    Args:
        rows: folder with a folder per data set, and in it a file per line; what is missing is left out.
        name: of the effort.
    """
    effort = EFFORTS[name]
    head = HEAD.format(
        name=name, because=effort.because, preset=effort.preset, seeds=" ".join(map(str, effort.seeds))
    )
    return "\n".join([head, *_tables(rows, effort), *_criteria_tables(rows, effort)])


def _tables(rows: Path, effort: Effort) -> Iterator[str]:
    for table in TABLES:
        for data in effort.data(table):
            lines = _lines(rows / data.name, table)
            if not lines:
                continue
            yield f"## {table.title}: {data.about}\n\n{table.about}\n"
            yield _scores(data, lines)
            yield _facts(lines)


def _criteria_tables(rows: Path, effort: Effort) -> Iterator[str]:
    for data in {data.name: data for table in TABLES for data in effort.data(table)}.values():
        if text := criteria_table(rows / data.name):
            yield f"## Criteria without labels against Dice: {data.about}\n\n{OF_CRITERIA}\n\n{text}"


def _lines(folder: Path, table: Table) -> dict[str, Row]:
    """The lines that there are, by what they say."""
    named = {**{variant.name: variant.about for variant in table.variants}, **{b: b for b in table.baselines}}
    found = {about: folder / f"{name}.json" for name, about in named.items()}
    return {about: read_json(path) for about, path in found.items() if path.exists()}


def _scores(data: Cells | Real, lines: Mapping[str, Row]) -> str:
    levels = sorted(
        {level for row in lines.values() for run in row["runs"].values() for level in run["levels"]}
    )
    columns = [(level, protocol) for protocol in PROTOCOLS for level in levels]
    heads = [f"{protocol} {level}" for level, protocol in columns]
    text = [f"| | {' | '.join(heads)} | seeds |", f"|---|{'---|' * len(heads)}---:|"]
    best = {
        column: max((_mean(row, *column) for row in lines.values()), default=float("nan"))
        for column in columns
    }
    for about, row in lines.items():
        cells = [_cell(row, *column, best[column]) for column in columns]
        text.append(f"| {about} | {' | '.join(cells)} | {len(_by_seed(row, *columns[0]))} |")
    published = PUBLISHED.get(data.variant, {}) if isinstance(data, Cells) else {}
    for method, values in published.items():
        cells = [f"{value:.3f}" for value in values[: len(levels)]] + ["–"] * len(levels)
        text.append(f"| *{method}, published* | {' | '.join(cells)} | |")
    return "\n".join(text) + "\n"


def _cell(row: Row, level: str, protocol: str, best: float) -> str:
    of_seeds = list(_by_seed(row, level, protocol).values())
    if not of_seeds:
        return "–"
    shown = f"{mean(of_seeds):.3f}"
    shown = f"**{shown}**" if mean(of_seeds) >= best - 5e-4 else shown
    spread = f" ± {stdev(of_seeds):.3f}" if len(of_seeds) > 1 else ""
    interval = bootstrap_interval(_of_images(row, level, protocol))
    between = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
    return shown + spread + between


def _by_seed(row: Row, level: str, protocol: str) -> dict[str, float]:
    """Mean over folds, weighted by their images, of each seed."""
    found: dict[str, list[tuple[float, int]]] = {}
    for name, run in row["runs"].items():
        if level in run["levels"] and run["levels"][level][protocol] is not None:
            of_level = run["levels"][level]
            found.setdefault(name.split(",")[0], []).append((of_level[protocol], len(of_level["per_image"])))
    return {
        seed: sum(score * n for score, n in folds) / sum(n for _, n in folds) for seed, folds in found.items()
    }


def _mean(row: Row, level: str, protocol: str) -> float:
    of_seeds = _by_seed(row, level, protocol)
    return mean(of_seeds.values()) if of_seeds else float("-inf")


def _of_images(row: Row, level: str, protocol: str) -> Any:
    """Mean over seeds of each image's scores, [N,1] or, of `strict`, [N,C]; NaN where a class is nowhere."""
    images: dict[str, list[list[float]]] = {}
    for run in row["runs"].values():
        for case, scores in run["levels"].get(level, {"per_image": {}})["per_image"].items():
            values = [scores["hsu"]] if protocol == "hsu" else list(scores["strict"].values())
            images.setdefault(case, []).append([np.nan if value is None else value for value in values])
    return np.array([np.mean(seeds, axis=0) for seeds in images.values()], dtype=np.float64)


def _facts(lines: Mapping[str, Row]) -> str:
    """Times, collapses and how often parts leave the part they lie in, in words."""
    said = []
    for about, row in lines.items():
        runs = row["runs"].values()
        minutes = sum(run["seconds"] for run in runs) / len(runs) / 60
        collapsed = sum(bool(run.get("collapsed")) for run in runs)
        rates = [
            of_level["violation_rate"]
            for run in runs
            for of_level in run["levels"].values()
            if of_level["violation_rate"] is not None
        ]
        parts = [f"{minutes:.1f} min a run"]
        parts += [f"{collapsed} of {len(runs)} runs collapsed"] * bool(collapsed)
        parts += [f"nesting violated by {100 * mean(rates):.1f} % of the voxels"] * bool(
            rates and mean(rates) > 0
        )
        said.append(f"- {about}: {', '.join(parts)}")
    machines = sorted({_machine(run) for row in lines.values() for run in row["runs"].values()})
    return "\n".join([*said, f"- on {'; '.join(machines)}", ""])


def _machine(run: Mapping[str, Any]) -> str:
    machine = run["machine"]
    return f"{machine['cpu']}, {machine['threads']} threads, torch {machine['torch']}"
