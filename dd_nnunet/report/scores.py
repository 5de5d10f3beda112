"""The score tables: the model beside its rivals, class by class, and where a rival is ahead."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dd_nnunet.report.collect import Baseline, LevelResult
from dd_nnunet.report.run_record import Json

OURS = "dd_nnunet"


@dataclass(frozen=True)
class Score:
    """A mean over images with its bootstrap interval; None where it is not defined."""

    value: float | None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class ScoreRow:
    """One method at one level; Dice in [0,1], HD95 in mm, nesting violations in [0,1]."""

    method: str
    strict: Score
    foreground: Score
    hsu: Score
    hd95_mm: Score
    nesting: Score


@dataclass(frozen=True)
class ClassRow:
    """One true class under the one label map of the model: its part, its mean Dice and HD95 in mm."""

    name: str
    part: int | None
    dice: float | None
    hd95_mm: float | None


@dataclass(frozen=True)
class ScoreTable:
    """The scores of one level, our own row first."""

    level: int
    n_cases: int
    rows: tuple[ScoreRow, ...]
    classes: tuple[ClassRow, ...]

    def is_best(self, column: str, row: ScoreRow) -> bool:
        """Whether no other row is better in the column (higher Dice, lower distance or violation rate)."""
        values = [value for r in self.rows if (value := getattr(r, column).value) is not None]
        mine = getattr(row, column).value
        if mine is None or len(values) < 2:
            return False
        return bool(mine == (min if column in ("hd95_mm", "nesting") else max)(values))


def score_table(level: LevelResult, baselines: tuple[Baseline, ...]) -> ScoreTable | None:
    """The table of one level; None without a summary of the model."""
    if level.summary is None or "protocols" not in level.summary:
        return None
    number = level.plan.level
    rows = [_row(OURS, level.summary)]
    rows += [_row(b.method, b.summaries[number]) for b in baselines if number in b.summaries]
    return ScoreTable(number, int(level.summary["n_cases"]), tuple(rows), tuple(_classes(level.summary)))


def better_rivals(table: ScoreTable) -> Iterator[str]:
    """Sentences about rivals whose strict Dice is above ours."""
    ours = table.rows[0].strict.value
    for row in table.rows[1:]:
        if ours is not None and row.strict.value is not None and row.strict.value > ours:
            yield (
                f"At level {table.level} the baseline {row.method} scores higher than {OURS} "
                f"(strict Dice {row.strict.value:.3f} against {ours:.3f})."
            )


def _row(method: str, summary: Json) -> ScoreRow:
    hsu, strict = summary["protocols"]["hsu"], summary["protocols"]["strict"]
    nesting = summary.get("nesting") or {}
    return ScoreRow(
        method=method,
        strict=_score(strict, "dice", "interval"),
        foreground=_score(strict, "foreground", "foreground_interval"),
        hsu=_score(hsu, "dice", "interval"),
        hd95_mm=_score(strict, "hd95_mm", "hd95_mm_interval"),
        nesting=Score(nesting.get("violation_rate")),
    )


def _score(protocol: Mapping[str, Any], value: str, interval: str) -> Score:
    ends = protocol.get(interval)
    return Score(protocol.get(value), (float(ends[0]), float(ends[1])) if ends else None)


def _classes(summary: Json) -> Iterator[ClassRow]:
    strict = summary["protocols"]["strict"]
    distances = strict.get("hd95_mm_per_class") or {}
    for name, dice in (strict.get("per_class") or {}).items():
        # after several folds were merged there is a label map per fold, and no single part
        part = summary["label_map"].get(name)
        yield ClassRow(name, part if isinstance(part, int) else None, dice, distances.get(name))
