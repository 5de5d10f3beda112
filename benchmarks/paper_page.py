"""The tables of an effort as Markdown, made from its rows; no number is made here."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from paper_criteria import FEWEST_RUNS, criteria_table
from paper_data import EFFORTS, Cells, Effort, Real
from paper_rows import TABLES, Table

from dd_nnunet.core.units import counted
from dd_nnunet.evaluation.metrics import bootstrap_interval
from dd_nnunet.storage.atomic import read_json

Row = Mapping[str, Any]
PROTOCOLS = ("hsu", "strict")
# Table 1 of arXiv 2305.00067, Dice of levels 1, 2, 3 of cells of this edge
PUBLISHED_TABLE, PUBLISHED_EDGE = "methods", 50
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
OF_PUBLISHED = (
    "*Published* are the numbers of the literature (Table 1 of arXiv 2305.00067, by a protocol like `hsu`): on the "
    "authors' own volumes, not on these, so that small differences from the lines above mean nothing."
)
OF_CRITERIA = (
    "Spearman's rank correlation with `strict` Dice of the test cases, over the lines and seeds above. Where the "
    "visual target or the features (stage, timesteps, draws, scaling, components) are others, so is the scale of "
    "criteria: each number is the mean over groups of runs that agree in these, weighted by their runs; groups of "
    f"fewer than {FEWEST_RUNS} are left out. A network that two lines predict with in other ways counts once. "
    "The criteria are those of the kept epoch, on training cases. Seeds of a line are not independent of each other, "
    "so that the runs tell less than their number suggests; and nothing is said about choosing an epoch within a run."
)
HEAD = """\
# {name}: {because}

Made by `python benchmarks/paper_tables.py --work DIR --effort {name}`; preset `{preset}`, seeds {seeds}. Every cell
is the mean over seeds ± their standard deviation; in brackets the 95 % interval over images (bootstrap, each
image's mean over seeds). `hsu` and `strict` are [two protocols](../../../documentation/explanation/evaluation.md).
Minutes are means over runs: of what is trained those of the networks alone, a diffusion model's those of the line
that trained it, where lines share one; of rivals those of the whole command.
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
        for data in effort.data(table.data):
            lines = _lines(rows / data.name, table)
            if not lines:
                continue
            yield f"## {table.title}: {data.about}\n\n{table.about}\n"
            yield _scores(lines, _published(table, data))
            if isinstance(data, Real):
                yield _case_by_case(lines)
            yield _facts(lines)


def fill(text: str, results: Path) -> str:
    """A document with its short tables made anew from the rows.

    Between `<!-- table: EFFORT TABLE DATA -->` and `<!-- end -->` stand means over seeds, the best of a column bold.

    Args:
        text: of the document.
        results: folder with a folder per effort.
    """

    def filled(found: re.Match[str]) -> str:
        effort, key, data = found[1].split()
        table = next(table for table in TABLES if table.key == key)
        lines = _lines(results / effort / data, table)
        return f"<!-- table: {found[1]} -->\n\n{_scores(lines, {}, brief=True)}\n<!-- end -->"

    return re.sub(r"<!-- table: (.+?) -->\n.*?<!-- end -->", filled, text, flags=re.DOTALL)


def _criteria_tables(rows: Path, effort: Effort) -> Iterator[str]:
    for data in {data.name: data for table in TABLES for data in effort.data(table.data)}.values():
        if text := criteria_table(rows / data.name):
            yield f"## Criteria without labels against Dice: {data.about}\n\n{OF_CRITERIA}\n\n{text}"


def _lines(folder: Path, table: Table) -> dict[str, Row]:
    """The lines that there are, by what they say."""
    found = {about: folder / f"{name}.json" for name, about in table.lines.items()}
    return {about: read_json(path) for about, path in found.items() if path.exists()}


def _scores(lines: Mapping[str, Row], published: Mapping[str, Sequence[float]], brief: bool = False) -> str:
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
        cells = [_cell(row, *column, best[column], brief) for column in columns]
        text.append(f"| {about} | {' | '.join(cells)} | {len(_by_seed(row, *columns[0]))} |")
    for method, values in published.items():
        cells = [f"{value:.3f}" for value in values[: len(levels)]] + ["–"] * len(levels)
        text.append(f"| *{method}, published* | {' | '.join(cells)} | |")
    text += ["", OF_PUBLISHED] * bool(published)
    return "\n".join(text) + "\n"


def _published(table: Table, data: Cells | Real) -> Mapping[str, Sequence[float]]:
    """The literature's numbers, beside the table that asks the same, of volumes of that size."""
    if table.key != PUBLISHED_TABLE or not isinstance(data, Cells) or data.edge != PUBLISHED_EDGE:
        return {}
    return PUBLISHED.get(data.variant, {})


def _cell(row: Row, level: str, protocol: str, best: float, brief: bool) -> str:
    of_seeds = list(_by_seed(row, level, protocol).values())
    if not of_seeds:
        return "–"
    shown = f"{mean(of_seeds):.3f}"
    shown = f"**{shown}**" if mean(of_seeds) >= best - 5e-4 else shown
    spread = f" ± {stdev(of_seeds):.3f}" if len(of_seeds) > 1 else ""
    if brief:
        return shown + spread
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


def _case_by_case(lines: Mapping[str, Row]) -> str:
    """Of the one true class: Dice of the matched part case by case, with means of Dice and HD95, as Markdown."""
    cases = sorted({case for row in lines.values() for _, images in _by_level(row) for case in images})
    text = [
        f"| level | {' | '.join(cases)} | mean Dice | mean HD95 mm |",
        f"|---|{'---:|' * (len(cases) + 2)}",
    ]
    for about, row in lines.items():
        for level, images in _by_level(row):
            dice = [mean(images[case]["strict"]) for case in cases]
            distance = mean(mm for case in cases for mm in images[case]["hd95_mm"])
            shown = " | ".join(f"{value:.3f}" for value in [*dice, mean(dice)])
            text.append(f"| {about}, level {level} | {shown} | {distance:.1f} |")
    about = "Case by case, `strict`: Dice of the part that matches the class best, and its HD95."
    return "\n".join([about, "", *text]) + "\n"


def _by_level(row: Row) -> Iterator[tuple[str, dict[str, dict[str, list[float]]]]]:
    """Level, and case -> Dice and HD95 of class 1 of every seed."""
    for level in sorted({level for run in row["runs"].values() for level in run["levels"]}):
        images: dict[str, dict[str, list[float]]] = {}
        for run in row["runs"].values():
            for case, scores in run["levels"].get(level, {"per_image": {}})["per_image"].items():
                for key in ("strict", "hd95_mm"):
                    images.setdefault(case, {}).setdefault(key, []).append(scores[key]["1"])
        yield level, images


def _facts(lines: Mapping[str, Row]) -> str:
    """Times, collapses and how much of parts lies outside the part they belong to, in words."""
    said = []
    for about, row in lines.items():
        runs = list(row["runs"].values())
        collapsed = sum(bool(run.get("collapsed")) for run in runs)
        parts = list(_minutes(runs))
        parts += [f"{collapsed} of {len(runs)} runs collapsed"] * bool(collapsed)
        parts += _violations(runs)
        said.append(f"- {about}: {', '.join(parts)}")
    machines = sorted({_machine(run) for row in lines.values() for run in row["runs"].values()})
    return "\n".join([*said, f"- on {'; '.join(machines)}", ""])


def _minutes(runs: Sequence[Row]) -> Iterator[str]:
    """Like beside like: a line that took over a diffusion model is not the faster for it."""
    trained = [run for run in runs if run.get("finished")]
    if not trained:
        yield f"{mean(run['seconds'] for run in runs) / 60:.1f} min a run"
        return
    segmenters = [
        sum(end["seconds"] for name, end in run["finished"].items() if not name.endswith("diffusion"))
        for run in trained
    ]
    yield f"segmenter {mean(segmenters) / 60:.1f} min"
    diffusion = [seconds for run in trained if (seconds := run["diffusion_seconds"]) is not None]
    if diffusion:
        yield f"diffusion model {mean(diffusion) / 60:.1f} min"


def _violations(runs: Sequence[Row]) -> Iterator[str]:
    """Of each level that has a coarser one, where any of it lies outside the part it belongs to."""
    rates: dict[str, list[float]] = {}
    for run in runs:
        for level, of_level in run["levels"].items():
            if of_level["violation_rate"] is not None:
                rates.setdefault(level, []).append(of_level["violation_rate"])
    for level, found in sorted(rates.items()):
        if mean(found) > 0:
            yield f"level {level} outside its coarser parts by {100 * mean(found):.1f} %"


def _machine(run: Mapping[str, Any]) -> str:
    machine = run["machine"]
    gpu = f"{machine['gpu'] or 'a GPU that has no name here'}, " if "gpu" in machine else ""
    return f"{gpu}{machine['cpu']}, {counted(machine['threads'], 'thread')}, torch {machine['torch']}"
