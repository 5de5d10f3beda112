"""Put the pieces of a report together as one self-contained HTML page."""

import datetime
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from dd_nnunet import __version__
from dd_nnunet.core.part_colours import hex_colour
from dd_nnunet.core.plan import Decision
from dd_nnunet.core.units import counted, decimals
from dd_nnunet.planning.edited_plan import edited_values
from dd_nnunet.report.collect import Collected, LevelResult, ReportRequest, collect
from dd_nnunet.report.figures import Chart, part_size_chart, progress_chart
from dd_nnunet.report.findings import notes_of, subject_of, warnings_of
from dd_nnunet.report.gallery import CasePictures, picture_cases
from dd_nnunet.report.parts import PartSizes, measure_parts, nesting_violation
from dd_nnunet.report.progress import ALIVE, duration_text, kept_entry, seconds_of, state_of
from dd_nnunet.report.run_record import RunRecord
from dd_nnunet.report.scores import Score, ScoreTable, score_table
from dd_nnunet.storage.atomic import write_text

TEMPLATE = "report.html.jinja"


@dataclass(frozen=True)
class Fact:
    """A number of the header: what it is, its value, and what to make of it."""

    name: str
    value: str
    remark: str = ""


@dataclass(frozen=True)
class SizeRow:
    """A line of the table of part sizes; volumes in the unit of its level."""

    part: int
    mean: float
    lowest: float
    highest: float
    mean_voxels: float
    share: float
    n_present: int


@dataclass(frozen=True)
class LevelPage:
    """A level as the page shows it; what is missing is None."""

    number: int
    n_parts: int
    stages: str
    state: str
    kept: str
    alive: str
    curves: Chart | None
    sizes: PartSizes | None
    size_rows: tuple[SizeRow, ...]
    size_chart: Chart | None
    nesting: float | None
    first_file: str


@dataclass(frozen=True)
class RunPage:
    """How one model was made: settings and versions, flat, as text."""

    name: str
    state: str
    duration: str
    epochs: int
    settings: Mapping[str, str]
    versions: Mapping[str, str]
    starts: int

    def setting(self, name: str) -> str:
        """The value of a setting, however deep it lies; "–" if it was not recorded."""
        return next((v for key, v in self.settings.items() if key.rpartition(".")[2] == name), "–")


@dataclass(frozen=True)
class Page:
    """Everything the template needs."""

    pieces: Collected
    subject: str
    made_on: str
    facts: tuple[Fact, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    levels: tuple[LevelPage, ...]
    cases: tuple[CasePictures, ...]
    tables: tuple[ScoreTable, ...]
    diffusion_curves: Chart | None
    runs: tuple[RunPage, ...]
    edited: Mapping[Decision, str]

    @property
    def truth_is_matched(self) -> bool:
        """Whether true classes have the colours of the parts they were matched with."""
        return any(level.label_map for level in self.pieces.levels)

    @property
    def same_colours(self) -> bool:
        """Whether the training curves have the colours of the pictures."""
        return all(level.part_order for level in self.pieces.levels if level.run)


def write_report(request: ReportRequest, output: Path) -> Page:
    """Collect, draw and write the page.

    Raises:
        UserError: see `collect`; a damaged image or label map.
    """
    page = build_page(collect(request))
    write_text(output, render(page))
    return page


def build_page(pieces: Collected) -> Page:
    """Measure and draw all that the page shows."""
    tables = tuple(t for level in pieces.levels if (t := score_table(level, pieces.baselines)) is not None)
    levels = tuple(_level_page(pieces, level) for level in pieces.levels)
    sizes = {level.number: level.sizes for level in levels if level.sizes}
    return Page(
        pieces=pieces,
        subject=subject_of(pieces),
        made_on=datetime.datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
        facts=tuple(_facts(pieces)),
        warnings=warnings_of(pieces, tables, sizes),
        notes=notes_of(pieces),
        levels=levels,
        cases=tuple(picture_cases(pieces)),
        tables=tables,
        diffusion_curves=_diffusion_curves(pieces),
        runs=tuple(_runs(pieces)),
        edited=edited_values(pieces.plan),
    )


def render(page: Page) -> str:
    """The HTML text; every value from outside is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=_number, score=_score, interval=_interval, percent=_percent)
    environment.globals.update(part_colour=hex_colour, alive=ALIVE)
    return environment.get_template(TEMPLATE).render(page=page, version=__version__)


def _facts(pieces: Collected) -> Iterator[Fact]:
    print_count = pieces.fingerprint
    if print_count is not None:
        yield Fact("Cases", str(len(print_count.cases)), _fold_text(pieces))
    yield Fact("Channels", ", ".join(pieces.description.channel_names))
    if print_count is not None:
        shape = print_count.median_crop_shape_zyx
        spacing = print_count.median_spacing_zyx_mm
        extent = [n * mm for n, mm in zip(shape, spacing, strict=True)]
        yield Fact("Median size", f"{_product(extent)} mm", f"{_product(shape)} voxels")
        yield Fact("Median voxel", f"{_product(spacing)} mm", "sizes are z × y × x")
        yield Fact(
            "Noise", f"{100 * print_count.noise_sd:.1f} %", "standard deviation, of the intensity range"
        )
        diameters = ", ".join(_number(mm) for mm in print_count.diameters_mm) or "none found"
        yield Fact("Typical object diameters", f"{diameters} mm" if print_count.diameters_mm else diameters)
    labels = "only to score and to compare" if pieces.truth else "none needed"
    yield Fact("True labels", counted(len(pieces.truth), "file") if pieces.truth else "none", labels)


def _fold_text(pieces: Collected) -> str:
    if pieces.cases is None:
        return ""
    if pieces.request.fold == "all":
        return "all trained on and predicted"
    return f"fold {pieces.request.fold}: {len(pieces.cases.train)} to train, {len(pieces.cases.val)} held out"


def _diffusion_curves(pieces: Collected) -> Chart | None:
    # a model taken from elsewhere was trained without a log
    if pieces.diffusion is None or not pieces.diffusion.log:
        return None
    return progress_chart(pieces.diffusion.log, "the diffusion model")


def _level_page(pieces: Collected, level: LevelResult) -> LevelPage:
    plan, run = level.plan, level.run
    sizes = measure_parts(level.predictions, plan.n_parts)
    entry = kept_entry(run) if run else None
    return LevelPage(
        number=plan.level,
        n_parts=plan.n_parts,
        stages=", ".join(map(str, plan.stages)),
        state=state_of(run),
        kept=str(entry["epoch"]) if entry else "–",
        alive=f"{entry['alive_parts']} of {plan.n_parts}" if entry else "–",
        curves=progress_chart(run.log, f"level {plan.level}", level.part_order) if run else None,
        sizes=sizes,
        size_rows=tuple(_size_rows(sizes)) if sizes else (),
        size_chart=part_size_chart(sizes, plan.level) if sizes else None,
        nesting=nesting_violation(pieces, level),
        first_file=next((path.name for path in level.predictions.values()), ""),
    )


def _size_rows(sizes: PartSizes) -> Iterator[SizeRow]:
    volumes = sizes.volumes
    for part in range(volumes.shape[1]):
        yield SizeRow(
            part=part,
            mean=float(volumes[:, part].mean()),
            lowest=float(volumes[:, part].min()),
            highest=float(volumes[:, part].max()),
            mean_voxels=float(sizes.voxels[:, part].mean()),
            share=float(sizes.shares[part]),
            n_present=int(sizes.n_present[part]),
        )


def _runs(pieces: Collected) -> Iterator[RunPage]:
    if pieces.diffusion is not None:
        yield _run_page("diffusion", pieces.diffusion)
    levels = {level.plan: level for level in pieces.levels}
    for group in pieces.plan.configuration(pieces.request.configuration).groups:
        run = levels[group.levels[0]].run
        if run is not None:
            yield _run_page(group.name, run)


def _run_page(name: str, run: RunRecord) -> RunPage:
    starts = run.debug.get("starts") or []
    last = dict(starts[-1]) if starts else {}
    versions = last.pop("versions", None) or {}
    settings = {**_flat(run.debug.get("identity") or {}), **_flat(run.finished or {})}
    return RunPage(
        name=name,
        state=state_of(run),
        duration=duration_text(seconds_of(run)),
        epochs=len(run.log),
        settings=settings,
        versions={key: str(value) for key, value in versions.items() if value is not None},
        starts=len(starts),
    )


def _flat(data: Any, prefix: str = "") -> dict[str, str]:
    """Nested JSON as dotted key -> text; long values are cut."""
    if not isinstance(data, dict):
        text = str(data)
        return {prefix: text if len(text) <= 80 else f"{text[:79]}…"}
    flat: dict[str, str] = {}
    for key, value in data.items():
        flat.update(_flat(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def _product(values: Any) -> str:
    return "\u00a0×\u00a0".join(_number(value) for value in values)


def _number(value: float | None) -> str:
    """Three significant digits, no exponent; "–" where there is nothing."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}".replace(",", "\u202f")
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}".rstrip("0").rstrip(".")


def _score(score: Score | float | None, digits: int = 3) -> str:
    value = score.value if isinstance(score, Score) else score
    return "–" if value is None else decimals(value, digits)


def _interval(score: Score, digits: int = 3) -> str:
    return "" if score.interval is None else "–".join(decimals(end, digits) for end in score.interval)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
