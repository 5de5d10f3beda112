"""Where a baseline is ahead of dd_nnunet, in words, from the scores of a row of the gallery."""

from collections.abc import Mapping
from typing import Any

from dd_nnunet.core.units import decimals

OURS = "dd_nnunet"
NOT_EXAMINED = "Why was not examined."
# in Dice: what differs by less is the same
TIED = 1e-6
# in Dice of the classes without background: below it, nobody found what was asked for
NOT_FOUND = 0.1
# why a baseline wins, by data set: written by people who looked
REMARKS: Mapping[str, str] = {
    "two-channels": (
        "Each stain shines in one channel alone, so that without noise four intensities are the four classes: that "
        "is what denoise-kmeans looks for. The network is .002 below."
    ),
    "ct": (
        "Liver and soft tissue differ by less than the noise that the diffusion model adds; its denoised volumes, "
        "which level 2 started from, had lost the liver. [Decision 0023](../decisions/0023-clean-volumes-are-not-"
        "denoised.md) came of this fold; it was not trained again since."
    ),
    "regular": (
        "At level 1 the cell is so plain that rules find it to a voxel; the network is .002 below. (The held-out "
        "cells are two: on twenty fresh ones this model is ahead of the rules in `strict` at levels 2 and 3, "
        "[decision 0016](../decisions/0016-a-second-pass-over-predictions.md).)"
    ),
    "irregular": (
        "From eight cells the network learns to find fewer objects than the rules do, and in these two all of them "
        "became one kind. On twenty fresh cells it stays below the rules too, in `strict` by .02 at level 2 "
        "and by .01 at level 3 ([decision 0016](../decisions/0016-a-second-pass-over-predictions.md))."
    ),
    "hard-noise": (
        "So much noise leaves the outline that the network draws of the cell rougher than that of the rules, and one "
        "of the kinds of cores that level 3 adds wins fewer than 2 in 10 000 voxels, so that the level counts as "
        "collapsed: cores of few voxels are below the noise."
    ),
    "em": (
        "What level 1 asks for is plain: HD95 is one voxel for all three, and the network is .002 below the two "
        "rules. The granules of level 2 it finds better."
    ),
    "pet": "That is a hundredth of a voxel.",
    "mni152": (
        "Tissues of a template without noise are intensities, so that all methods that cut intensities come within "
        ".02 of each other at level 2, and with two blocks held out that is no difference."
    ),
}
Row = Mapping[str, Any]


def baselines_that_win(name: str, row: Row) -> str:
    """A paragraph: baselines ahead in `strict` Dice, others that are ahead in HD95 only, and why."""
    found = [level for level in row["scores"][OURS] if _is_found(row, level)]
    missed = [_words(level) for level in row["scores"][OURS] if level not in found]
    by_dice = [text for level in found if (text := _ahead_in_dice(row, level))]
    by_distance = [text for level in found if (text := _ahead_in_distance(row, level))]
    first = "A baseline wins." if by_dice else "No baseline is ahead in `strict` Dice."
    why = [REMARKS.get(name, NOT_EXAMINED)] if by_dice or by_distance else []
    if missed:
        first = (
            f"No method finds the classes of {', '.join(missed)} (without background, all are below {NOT_FOUND}): "
            "the order of the rows means nothing there."
        )
    return " ".join([first, *by_dice, *by_distance, *why])


def ahead(row: Row) -> str:
    """The methods with the best strict Dice at every level."""
    if row["run"] is None:
        return "not trained yet"
    levels = row["scores"].get(OURS, {})
    best = {
        level.removeprefix("level"): " = ".join(_best(row, level))
        if _is_found(row, level)
        else "none found it"
        for level in levels
    }
    return ", ".join(f"{level}: {methods}" for level, methods in best.items()) or "no labels"


def _is_found(row: Row, level: str) -> bool:
    return max(_score(row, method, level, "foreground") or 0.0 for method in row["scores"]) >= NOT_FOUND


def _best(row: Row, level: str) -> list[str]:
    scores = {method: _strict(row, method, level) for method in row["scores"]}
    return [method for method, score in scores.items() if score > max(scores.values()) - TIED]


def _ahead_in_dice(row: Row, level: str) -> str:
    ours = _strict(row, OURS, level)
    better = {m: score for m in _rivals(row) if (score := _strict(row, m, level)) > ours + TIED}
    shown = ", ".join(f"{method} {score:.3f}" for method, score in better.items())
    return f"At {_words(level)} {shown} against {ours:.3f} (`strict`)." if better else ""


def _ahead_in_distance(row: Row, level: str) -> str:
    """Baselines whose outlines lie nearer to the true ones although their Dice is not better."""
    ours, dice = _hd95_mm(row, OURS, level), _strict(row, OURS, level)
    if ours is None:
        return ""
    others = {m: _hd95_mm(row, m, level) for m in _rivals(row) if _strict(row, m, level) <= dice}
    nearer = {method: mm for method, mm in others.items() if mm is not None and mm < ours}
    # a digit more than the table: they may differ by less than it shows
    shown = ", ".join(f"{method} ({decimals(mm, 2)} mm)" for method, mm in nearer.items())
    verb = "is" if len(nearer) == 1 else "are"
    return (
        f"At {_words(level)} {shown} {verb} ahead in HD95, though not in Dice ({decimals(ours, 2)} mm)."
        if nearer
        else ""
    )


def _rivals(row: Row) -> list[str]:
    return [method for method in row["scores"] if method != OURS]


def _words(level: str) -> str:
    return level.replace("level", "level ")


def _strict(row: Row, method: str, level: str) -> float:
    value = _score(row, method, level, "dice")
    return -1.0 if value is None else value


def _hd95_mm(row: Row, method: str, level: str) -> float | None:
    return _score(row, method, level, "hd95_mm")


def _score(row: Row, method: str, level: str, key: str) -> float | None:
    """By the `strict` protocol; None where the level is not scored."""
    score = row["scores"].get(method, {}).get(level)
    value = None if score is None else score["protocols"]["strict"][key]
    return None if value is None else float(value)
