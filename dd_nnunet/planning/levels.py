"""How many levels there are, into how many parts each divides the volume, and which part before it splits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dd_nnunet.core.dataset import DatasetDescription
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.fingerprint import CaseFingerprint, SplitFingerprint
from dd_nnunet.core.units import counted
from dd_nnunet.planning.presets import Budget

PAPER_PARTS = (2, 4, 8)
MAX_LEVELS = 3
MAX_PARTS = 8
Place = tuple[int, int]


@dataclass(frozen=True)
class PartsPerLevel:
    """K of each level and why.

    Args:
        n_parts: per level, coarsest first; never falling.
        children: per level, how many parts each part of the level before becomes; () where that was not measured.
        because: why, in words.
    """

    n_parts: tuple[int, ...]
    children: tuple[tuple[int, ...], ...]
    because: str


def choose_parts(
    cases: Sequence[CaseFingerprint], description: DatasetDescription, budget: Budget
) -> PartsPerLevel:
    """What the user gave, else what the paper took (preset `paper`), else what was measured.

    Raises:
        UserError: dataset.json names parts that get fewer with depth.
    """
    if budget.parts is not None:
        return _given(budget.parts, "given with --parts")
    if description.parts:
        if list(description.parts) != sorted(description.parts):
            raise UserError(
                "dataset.json: parts",
                f"{' '.join(map(str, description.parts))} get fewer with depth",
                "a level refines the one before it",
            )
        return _given(description.parts, "given in dataset.json")
    if budget.preset == "paper":
        return _given(PAPER_PARTS, "preset paper; other numbers with --parts")
    return measured_parts(cases)


def measured_parts(cases: Sequence[CaseFingerprint]) -> PartsPerLevel:
    """Let the cases vote, level by level and part by part.

    A part splits into as many as more than half of the cases split it into or exceed. Only cases that split alike
    so far vote on the next level, because only theirs have the same parts. A level in which nothing splits is none.

    Args:
        cases: at least one that is not constant; constant ones do not vote.

    Returns:
        At most 3 levels and 8 parts. Where nothing splits, one level of 2 parts, with `children` ().
    """
    voters = [{(s.level, s.part): s for s in case.splits} for case in cases if not case.constant]
    children: list[tuple[int, ...]] = []
    reasons: list[str] = []
    n_parts = 1
    while voters and len(children) < MAX_LEVELS and n_parts < MAX_PARTS:
        level = len(children) + 1
        voted = tuple(_vote(voters, (level, part)) for part in range(n_parts))
        if max(voted) == 1:
            break
        kept = _at_most(voted, voters, level)
        words = [_words(voters, (level, part), n) for part, n in enumerate(kept) if n > 1]
        reasons.append(f"level {level} splits {', '.join(words)}")
        children.append(kept)
        n_parts = sum(kept)
        alike = (tuple(_children(v, (level, part)) for part in range(len(voted))) == voted for v in voters)
        voters = [voter for voter, same in zip(voters, alike, strict=True) if same]
    if not children:
        measured = _words(voters, (1, 0), 2)
        because = f"no part stands out in more than half of the cases: {measured}; 2 are the fewest"
        return PartsPerLevel((2,), ((),), because)
    return PartsPerLevel(tuple(map(sum, children)), tuple(children), f"measured: {'; '.join(reasons)}")


def _given(parts: tuple[int, ...], because: str) -> PartsPerLevel:
    return PartsPerLevel(parts, ((),) * len(parts), because)


def _children(voter: dict[Place, SplitFingerprint], place: Place) -> int:
    return voter[place].children if place in voter else 1


def _vote(voters: Sequence[dict[Place, SplitFingerprint]], place: Place) -> int:
    """The lower median: more than half of the voters have as many children, or more."""
    return sorted(_children(voter, place) for voter in voters)[(len(voters) - 1) // 2]


def _at_most(
    voted: tuple[int, ...], voters: Sequence[dict[Place, SplitFingerprint]], level: int
) -> tuple[int, ...]:
    """The vote, less children of the parts that gain least while there are more than 8 in all."""
    kept = list(voted)
    gains = [_medians(voters, (level, part), 2)[0] for part in range(len(kept))]
    while sum(kept) > MAX_PARTS:
        kept[min((p for p, n in enumerate(kept) if n > 1), key=lambda p: gains[p])] -= 1
    return tuple(kept)


def _medians(
    voters: Sequence[dict[Place, SplitFingerprint]], place: Place, n_children: int
) -> tuple[float, float]:
    """Gain and chance over the voters that split a part into so many or more; over all where none does."""
    tried = [voter[place] for voter in voters if place in voter]
    splits = [split for split in tried if split.children >= n_children] or tried
    if not splits:
        return 0.0, 0.0
    return float(np.median([s.gain for s in splits])), float(np.median([s.chance for s in splits]))


def _words(voters: Sequence[dict[Place, SplitFingerprint]], place: Place, n_children: int) -> str:
    """E.g. "part 1 in 2 (gain 0.14 against -0.01 of surrogates, 5 of 6 cases)"."""
    gain, chance = _medians(voters, place, n_children)
    count = sum(_children(voter, place) >= n_children for voter in voters)
    what = "the volume" if place[0] == 1 else f"part {place[1]}"
    # adding 0 makes a minus zero a zero
    shown = [f"{round(value, 2) + 0:.2f}" for value in (gain, chance)]
    numbers = f"gain {shown[0]} against {shown[1]} of surrogates, {count} of {counted(len(voters), 'case')}"
    return f"{what} in {n_children} ({numbers})"
