"""The score table: methods beside each other, level by level."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dd_nnunet.core.units import decimals

COLUMNS = ("hsu", "strict", "foreground", "HD95 mm")
PROTOCOLS = ("hsu", "strict", "strict", "strict")
TEXT_WIDTH = 80
CELL_WIDTH = 10
LEVEL_WIDTH = 6
HIGHER_IS_BETTER = (True, True, True, False)


@dataclass(frozen=True)
class ScoreRow:
    """One line of the table.

    Args:
        method: who is scored, e.g. "kmeans"; rows of one method (its folds) are no rivals.
        level: 1 = coarsest.
        hsu: mean Dice of the `hsu` protocol.
        strict: mean Dice of the `strict` protocol, all true classes.
        foreground: the same without background.
        hd95_mm: mean over foreground classes.
        fold: whose cases are scored; "" = not of one fold.
    """

    method: str
    level: int
    hsu: float | None
    strict: float | None
    foreground: float | None
    hd95_mm: float | None
    fold: str = ""

    @property
    def name(self) -> str:
        """What the line is called, e.g. "kmeans, fold 0"."""
        return f"{self.method}, fold {self.fold}" if self.fold else self.method

    @property
    def scores(self) -> tuple[float | None, ...]:
        """In the order of `COLUMNS`."""
        return (self.hsu, self.strict, self.foreground, self.hd95_mm)


def score_row(method: str, summary: Mapping[str, Any], fold: str = "") -> ScoreRow:
    """The line of a method, or of one of its folds, from its summary.json."""
    hsu, strict = summary["protocols"]["hsu"], summary["protocols"]["strict"]
    return ScoreRow(
        method, summary["level"], hsu["dice"], strict["dice"], strict["foreground"], strict["hd95_mm"], fold
    )


def score_table(
    rows: Sequence[ScoreRow],
    style: Literal["text", "markdown"] = "text",
    protocols: Sequence[str] = ("hsu", "strict"),
) -> str:
    """Lay the rows out by level; the best score of a level and column is marked if it has rivals, of other methods.

    Args:
        rows: in the order to be shown within a level.
        style: "text" is 80 columns wide, the best marked with `*`; "markdown" marks it bold.
        protocols: columns of a protocol (`PROTOCOLS`) that is not among them are left out.
    """
    shown = [i for i, protocol in enumerate(PROTOCOLS) if protocol in protocols]
    ordered = sorted(rows, key=lambda row: row.level)
    cells = [[_cell(row, column, ordered, style) for column in shown] for row in ordered]
    header = [COLUMNS[column] for column in shown]
    if style == "markdown":
        lines = [["method", "level", *header], ["---", "---:", *["---:"] * len(header)]]
        lines += [[row.name, str(row.level), *scores] for row, scores in zip(ordered, cells, strict=True)]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
    text = [_text_line("method", "level", [f"{name} " for name in header]), "-" * TEXT_WIDTH]
    for i, (row, scores) in enumerate(zip(ordered, cells, strict=True)):
        if i and row.level != ordered[i - 1].level:
            text.append("")
        text.append(_text_line(row.name, str(row.level), scores))
    return "\n".join(text) + "\n"


def _text_line(method: str, level: str, scores: Sequence[str]) -> str:
    width = TEXT_WIDTH - LEVEL_WIDTH - CELL_WIDTH * len(scores) - len(scores)
    name = method if len(method) <= width else method[: width - 1] + "…"
    cells = "".join(f" {score:>{CELL_WIDTH}}" for score in scores)
    return f"{name:<{width}}{level:>{LEVEL_WIDTH}}{cells}".rstrip()


def _cell(row: ScoreRow, column: int, rows: Sequence[ScoreRow], style: str) -> str:
    score = row.scores[column]
    unmarked = " " if style == "text" else ""
    if score is None:
        return "–" + unmarked
    number = decimals(score, 3 if HIGHER_IS_BETTER[column] else 1)
    if not _is_best(score, column, [other for other in rows if other.level == row.level]):
        return number + unmarked
    return f"{number}*" if style == "text" else f"**{number}**"


def _is_best(score: float, column: int, level_rows: Sequence[ScoreRow]) -> bool:
    scored = [row for row in level_rows if row.scores[column] is not None]
    scores = [rival for row in scored if (rival := row.scores[column]) is not None]
    best = max(scores) if HIGHER_IS_BETTER[column] else min(scores)
    return len({row.method for row in scored}) > 1 and score == best
