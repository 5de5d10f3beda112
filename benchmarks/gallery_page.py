"""documentation/explanation/gallery.md, made from the rows in benchmarks/results/gallery; no number is made here.

What would be another today is told of the goldens of the tests.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gallery_data import EXHIBITS, Exhibit
from gallery_rivals import ahead, baselines_that_win
from gallery_rows import collapsed_levels
from gallery_today import NAMES, golden_plan, is_older, today

from dd_nnunet.evaluation.table import score_row, score_table
from dd_nnunet.storage.atomic import read_json

ROOT = Path(__file__).parent.parent
ROWS = ROOT / "benchmarks" / "results" / "gallery"
PAGE = ROOT / "documentation" / "explanation" / "gallery.md"
PICTURES = ROOT / "documentation" / "pictures" / "gallery"
Row = Mapping[str, Any]

HEAD = """\
# Gallery

Twelve data sets of many kinds, each planned by `dd_plan_and_preprocess --preset fast` with nothing edited, and fold 0
trained from that plan; the commit of each section says by which version. In the dataset.json of eight of them stands
`parts`, the numbers that their truth has; the sections tell what the planner would have taken without. What was
measured of each is kept in [tests/golden](../../tests/golden), with the plan that must follow from it on a machine
without bfloat16 instructions; a test repeats that.

Scores are Dice on the held-out cases of that fold, by the two [protocols](evaluation.md), beside the
[baselines](../how-to/compare-with-baselines.md) on the same cases; `objects` is one where the plan lets levels start
from objects. A fold holds out one or two cases, so that the second digit means little. Data of which the truth
names one thing only (a tumour, say) are scored at every level against that.

Minutes are those of `dd_train` from start to end, with features and validation; where a section says so, those of the
networks alone. Where a section says what would be measured or planned today, what it shows is older than that.

Made by `benchmarks/gallery.py`; [the rows](../../benchmarks/results/gallery) hold devices, versions and times.
"""
CAPTION = (
    "*The first held-out case: an axial slice of each channel, the truth of the finest level, the parts of each "
    "level. The truth has the colours of the parts of the finest level that it was matched with, white where with "
    "none; background is not painted.*"
)


def page(rows: Path, pictures: Path, page_folder: Path) -> str:
    """The whole page.

    Args:
        rows: folder with a JSON file per data set; what is missing is shown as missing.
        pictures: folder with a PNG per data set; what is missing is left out.
        page_folder: where the page will lie; links to pictures start there.
    """
    found = {name: read_json(rows / f"{name}.json") for name in EXHIBITS if (rows / f"{name}.json").exists()}
    parts = [HEAD, _overview(found)]
    for name, exhibit in EXHIBITS.items():
        picture = pictures / f"{name}.png"
        shown = os.path.relpath(picture, page_folder) if picture.exists() else None
        parts.append(_section(name, exhibit, found.get(name), shown))
    return "\n".join(parts)


def _overview(found: Mapping[str, Row]) -> str:
    lines = [
        "| data set | volumes | spacing, mm | patch | parts (stage) | timesteps | minutes | ahead at level |",
        "|---|---|---|---|---|---|---:|---|",
    ]
    for name, exhibit in EXHIBITS.items():
        anchor = f"[{exhibit.title}](#{_anchor(exhibit.title)})"
        row = found.get(name)
        if row is None:
            lines.append(f"| {anchor} | not planned yet | | | | | | |")
            continue
        measured, full = row["measured"], list(row["plan"]["configurations"].values())
        cells = [
            anchor,
            f"{measured['n_cases']} of {_product(measured['median_crop_shape_zyx'])}",
            "; ".join(_product(c["spacing_zyx_mm"]) for c in full),
            "; ".join(_product(c["patch_size_zyx"]) for c in full),
            ", ".join(_level(level) for c in full for level in c["levels"]),
            "; ".join(" ".join(map(str, c["timesteps"])) for c in full),
            _minutes(row),
            ahead(row),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _section(name: str, exhibit: Exhibit, row: Row | None, picture: str | None) -> str:
    lines = [f"## {exhibit.title}", "", exhibit.about, ""]
    if row is None:
        return "\n".join(
            [*lines, f"Not planned yet: `python benchmarks/gallery.py plan --work DIR {name}`.", ""]
        )
    measured = row["measured"]
    diameters = ", ".join(f"{d:.3g}" for d in measured["diameters_mm"])
    shape, spacing = _product(measured["median_crop_shape_zyx"]), _product(measured["median_spacing_zyx_mm"])
    slope = "slope of the spectrum" if is_older(row) else NAMES["noise_slope"]
    lines += [
        f"**Measured**: {measured['n_cases']} volumes, median {shape} voxels of {spacing} mm; noise of sd "
        f"{measured['noise_sd']:.3f} of the intensity "
        f"range, {slope} {measured['noise_slope']:.1f}, signal to noise {measured['snr']:.2g}; objects of "
        f"{diameters} mm.",
        "",
        *_plan_lines(name, exhibit, row),
        "",
        *today(name, row),
    ]
    if picture is not None:
        lines += [
            f"![{exhibit.title}: a held-out volume, its truth, and the parts of each level]({picture})",
            "",
            CAPTION,
            "",
        ]
    return "\n".join([*lines, *_results(name, row)])


def _plan_lines(name: str, exhibit: Exhibit, row: Row) -> Iterator[str]:
    # a row that is older was planned by other rules, maybe for another number format
    of_its_day = f"../../benchmarks/results/gallery/{name}.json"
    decisions = of_its_day if is_older(row) else f"../../tests/golden/{golden_plan(name).name}"
    yield f"**Planned** ([all decisions]({decisions})):"
    yield ""
    for configuration, planned in row["plan"]["configurations"].items():
        levels = ", ".join(_level(level) for level in planned["levels"])
        yield (
            f"- `{configuration}`: patch {_product(planned['patch_size_zyx'])} at "
            f"{_product(planned['spacing_zyx_mm'])} mm; parts (decoder stage) {levels}; timesteps "
            f"{' and '.join(map(str, planned['timesteps']))}; intensities by {_normalization(planned)}"
        )
    # None where the planner chose, missing in rows of former days
    if (own := row.get("parts_if_not_given")) is not None:
        given = next(d for d in row["plan"]["decisions"] if d["name"] == "parts per level")
        yield (
            f"- parts per level: {given['value']}, because: {given['because']}; not given, they would be "
            f"{own['value']}, because: {own['because']}"
        )
    for wanted in exhibit.telling:
        for decision in row["plan"]["decisions"]:
            if decision["name"] == wanted:
                yield f"- {wanted}: {decision['value']}, because: {decision['because']}"


def _results(name: str, row: Row) -> list[str]:
    run = row["run"]
    if run is None:
        return [f"Not trained yet: `{row['command']}`.", ""]
    lines = [_how_it_went(run), ""]
    if not row["scores"]:
        return [*lines, "There are no labels of the held-out cases, so nothing is scored.", ""]
    rows = [score_row(method, level) for method, levels in row["scores"].items() for level in levels.values()]
    lines += [score_table(rows, "markdown"), baselines_that_win(name, row), ""]
    return lines


def _how_it_went(run: Mapping[str, Any]) -> str:
    collapsed = collapsed_levels(run["finished"])
    expected = "; ".join(run["expected_minutes"]) or "no estimate was printed"
    device = next(iter(run["finished"].values()))["device"]
    ended = f"**collapsed** at {', '.join(collapsed)}" if collapsed else "no level collapsed"
    machine = run["machine"]
    gpu = f"{machine['gpu']} ({machine['gpu_memory_gb']:.0f} GB) and " if machine.get("gpu") else ""
    which = "" if "wall_seconds_train" in run else " (the networks alone)"
    return (
        f"**Trained** in {_training_minutes(run):.1f} minutes{which} on {gpu}{machine['cpu']}, "
        f"{machine['threads']} threads ({device}; the machine's load was {machine['load_before']}), "
        f"commit {run['commit']}; {ended}. Said at the start: {expected}."
    )


def _minutes(row: Row) -> str:
    return "" if row["run"] is None else f"{_training_minutes(row['run']):.1f}"


def _training_minutes(run: Mapping[str, Any]) -> float:
    """Of the whole commands; where a row does not hold that, of the networks, without features and validation."""
    seconds = run.get("wall_seconds_train", sum(end["seconds"] for end in run["finished"].values()))
    return float(seconds / 60)


def _level(level: Mapping[str, Any]) -> str:
    return f"{level['n_parts']} ({' '.join(map(str, level['stages']))})"


def _normalization(planned: Mapping[str, Any]) -> str:
    names = {"percentile": "percentiles of each case", "ct_window": "one window for all cases"}
    return ", ".join(dict.fromkeys(names[rule["scheme"]] for rule in planned["normalization"]))


def _product(values: Sequence[float]) -> str:
    return " × ".join(f"{value:.3g}" for value in values)


def _anchor(title: str) -> str:
    kept = "".join(c for c in title.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")
