"""Which part lies in which: parts of several levels, each inside one part of the level before."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.unsignedinteger[Any]]
Parents = tuple[int, ...]


@dataclass(frozen=True)
class PartTree:
    """Parts of one level or of several that nest; the parts of all levels stand behind each other as "channels".

    Args:
        n_parts: K of each level, coarsest first; at least 2.
        parents: for each level but the first, of each of its parts the number of the part before that it lies in;
            every part has at least one child.
    """

    n_parts: tuple[int, ...]
    parents: tuple[Parents, ...] = ()

    def __post_init__(self) -> None:
        if len(self.parents) != len(self.n_parts) - 1:
            raise ValueError(f"{len(self.n_parts)} levels have {len(self.parents)} lists of parents")
        for above, n_parts, parents in zip(self.n_parts, self.n_parts[1:], self.parents, strict=False):
            if len(parents) != n_parts or set(parents) != set(range(above)):
                raise ValueError(
                    f"parents {list(parents)} of {n_parts} parts; each of 0–{above - 1} at least once"
                )

    @property
    def n_levels(self) -> int:
        """How many levels."""
        return len(self.n_parts)

    @property
    def n_channels(self) -> int:
        """Parts of all levels together."""
        return sum(self.n_parts)

    @property
    def _number_type(self) -> type[np.unsignedinteger[Any]]:
        return np.uint8 if max(self.n_parts) <= 256 else np.uint16

    @cached_property
    def channels(self) -> tuple[slice, ...]:
        """Per level, where its parts stand among all."""
        stops = np.cumsum(self.n_parts).tolist()
        return tuple(slice(stop - n, stop) for stop, n in zip(stops, self.n_parts, strict=True))

    def children(self, level: int, part: int) -> tuple[int, ...]:
        """Parts of the next level that lie in a part of a level (0 = first); none in the last level."""
        if level + 1 == self.n_levels:
            return ()
        return tuple(child for child, parent in enumerate(self.parents[level]) if parent == part)

    def shape_below(self, level: int, part: int) -> tuple[Any, ...]:
        """What lies below a part, numbers left aside: two parts can stand for each other if theirs are equal."""
        return tuple(sorted(self.shape_below(level + 1, child) for child in self.children(level, part)))

    def coarser(self, labels: Labels, level: int) -> list[Labels]:
        """Labels of the levels before, of the first level first, that the parts of a level (0 = first) lie in."""
        above: list[Labels] = []
        for parents in reversed(self.parents[:level]):
            labels = np.array(parents, dtype=self._number_type)[labels]
            above.insert(0, labels)
        return above

    def decide(self, probabilities: Numbers) -> list[Labels]:
        """One part per level and voxel, such that they nest.

        It is the most probable part of the first level, of those in it the most probable of the second, and so on.

        Args:
            probabilities: [channels, …], or anything that rises with them; of equal ones the first part wins.

        Returns:
            Per level […] uint8, or uint16 where a level has more than 256 parts.
        """
        found: list[Labels] = []
        for level, channels in enumerate(self.channels):
            found.append(self.decide_level(probabilities[channels], level, found[-1] if found else None))
        return found

    def decide_level(self, probabilities: Numbers, level: int, above: Labels | None) -> Labels:
        """The most probable part […] of a level (0 = first) by its probabilities [K,…], in the part above if any."""
        if above is None:
            first: Labels = probabilities.argmax(axis=0).astype(self._number_type)
            return first
        return chosen_within(self.best_within(probabilities, level), above)

    def best_within(self, probabilities: Numbers, level: int) -> Labels:
        """For every part of the level before: which of its children is the most probable one.

        Args:
            probabilities: [K,…] of a level.
            level: its place, 1 or more.

        Returns:
            [K of the level before, …].
        """
        best = np.empty((self.n_parts[level - 1], *probabilities.shape[1:]), dtype=self._number_type)
        for part in range(len(best)):
            children = np.array(self.children(level - 1, part), dtype=self._number_type)
            best[part] = (
                children[probabilities[children].argmax(axis=0)] if len(children) > 1 else children[0]
            )
        return best

    def one_hot(self, labels: Sequence[Labels]) -> npt.NDArray[np.float32]:
        """[channels, …] of what `decide` returns."""
        parts = [
            np.equal(of_level, np.arange(n).reshape(-1, *[1] * of_level.ndim))
            for of_level, n in zip(labels, self.n_parts, strict=True)
        ]
        return np.concatenate(parts).astype(np.float32)


def chosen_within(best: Labels, above: Labels) -> Labels:
    """Of `best_within`, at each voxel the child of the part that was chosen before.

    Args:
        best: [K of the level before, …].
        above: […] parts of the level before.
    """
    chosen: Labels = np.take_along_axis(best, above[None].astype(np.intp), axis=0)[0]
    return chosen


def consecutive(children: Sequence[int]) -> Parents:
    """Parents of parts that are numbered parent by parent: (1, 3) children give parents 0 1 1 1."""
    return tuple(part for part, n in enumerate(children) for _ in range(n))


def shared_out(n_before: int, n_parts: int) -> Parents:
    """Parents where nothing is said of them: part 0, which is background, stays whole, the others share the rest.

    They share as evenly as can be, the first ones get one more: 4 parts of 2 are 0 1 1 1, 8 of 4 are 0 1 1 1 2 2 3 3.
    """
    kept = 1
    sharing = n_before - kept
    rest = n_parts - kept
    return consecutive([1, *(rest // sharing + (part < rest % sharing) for part in range(sharing))])
