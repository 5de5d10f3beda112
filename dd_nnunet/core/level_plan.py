"""A level of a plan: how many parts, fed by which stages, and where its training starts."""

import math
from dataclasses import dataclass
from functools import cached_property

from dd_nnunet.core.network_plans import check_at_least, check_different
from dd_nnunet.core.part_tree import Parents, PartTree, consecutive, shared_out
from dd_nnunet.core.units import MOST_PARTS

MAX_OBJECT_LEVELS = 3
# the folder of the one training of several levels
NESTED_LEVELS = "levels"


@dataclass(frozen=True)
class ObjectPlan:
    """Warm start of the first levels: an object, kinds of objects in it, kinds of cores in those.

    Args:
        n_parts: K of level 1, which is 2, and of level 2 and 3 if they start so too; rising.
        smallest_mm: of each of these levels, the diameter of a ball as large as the smallest object; above 0.
        anchor_weight: of these parts beside the losses; at least 0.
        second_pass: in each predicted case, move the outline of the object to where the volume changes, and sort the
            objects that the network of level 2 or 3 found into kinds again.
    """

    n_parts: tuple[int, ...]
    smallest_mm: tuple[float, ...]
    anchor_weight: float
    second_pass: bool = True

    def __post_init__(self) -> None:
        shown = list(self.n_parts)
        if not 1 <= len(shown) <= MAX_OBJECT_LEVELS or shown[0] != 2 or shown != sorted(set(shown)):
            raise ValueError(
                f"objects.n_parts is {shown}; 1 to {MAX_OBJECT_LEVELS} rising numbers, the first is 2"
            )
        if len(self.smallest_mm) != len(shown) or not all(0 < mm < math.inf for mm in self.smallest_mm):
            raise ValueError(
                f"objects.smallest_mm is {list(self.smallest_mm)}; one above 0 per level of n_parts"
            )
        if not 0 <= self.anchor_weight < math.inf:
            raise ValueError(f"objects.anchor_weight is {self.anchor_weight}; at least 0")

    @property
    def core_kinds(self) -> tuple[int, ...]:
        """Kinds of cores that level 3 adds, for each kind of object: as even as can be, the first get one more."""
        added, kinds = self.n_parts[2] - self.n_parts[1], self.n_parts[1] - 2
        return tuple(added // kinds + (kind < added % kinds) for kind in range(kinds))

    def parents(self, level: int) -> Parents:
        """In which part of the level before each part of level 2 or 3 lies."""
        if level == 2:
            return (0, *[1] * (self.n_parts[1] - 1))
        return (*range(self.n_parts[1]), *(2 + kind for kind in consecutive(self.core_kinds)))


@dataclass(frozen=True)
class LevelPlan:
    """One level of the hierarchy.

    Args:
        level: its number, 1 = coarsest; at least 1.
        n_parts: K, 2 to 256; never fewer than of the level before.
        stages: decoder stages of the diffusion U-Net that feed it, at least one, each once, 1 = coarsest.
        children: how many of its parts each part of the level before becomes, in the order of the parts' numbers;
            empty where that is not stated. Used where levels are nested and do not start from objects.
    """

    level: int
    n_parts: int
    stages: tuple[int, ...]
    children: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_at_least(self, 1, "level")
        if not self.stages:
            raise ValueError(f"stages of level {self.level} is empty; at least one")
        check_different(f"stages of level {self.level}", self.stages)
        if not 2 <= self.n_parts <= MOST_PARTS:
            raise ValueError(
                f"n_parts of level {self.level} is {self.n_parts}; at least 2, at most {MOST_PARTS}"
            )
        if self.children and (min(self.children) < 1 or sum(self.children) != self.n_parts):
            shown = " ".join(map(str, self.children))
            raise ValueError(
                f"children of level {self.level} are {shown}; each at least 1, together n_parts = {self.n_parts}"
            )

    def parents(self, n_before: int) -> Parents:
        """In which part of the level before each part lies, where it does not start from objects.

        Raises:
            ValueError: fewer parts than before.
        """
        if self.children:
            return consecutive(self.children)
        if self.n_parts < n_before:
            raise ValueError(
                f"n_parts of level {self.level} is {self.n_parts}, fewer than the {n_before} before it; "
                "a level refines the one before it"
            )
        return shared_out(n_before, self.n_parts)


@dataclass(frozen=True)
class LevelGroup:
    """Levels that one network is trained for: a single level, or several that nest.

    Args:
        levels: with rising numbers that follow each other.
        parents: for each but the first, of each of its parts the number of the part before that it lies in.
    """

    levels: tuple[LevelPlan, ...]
    parents: tuple[Parents, ...] = ()

    @cached_property
    def tree(self) -> PartTree:
        """Which part lies in which."""
        return PartTree(tuple(level.n_parts for level in self.levels), self.parents)

    @property
    def nested(self) -> bool:
        """Whether these are several levels."""
        return len(self.levels) > 1

    @property
    def folder(self) -> str:
        """Name of the folder of its training: "levels", or "level2", say."""
        return NESTED_LEVELS if self.nested else f"level{self.levels[0].level}"

    @property
    def name(self) -> str:
        """For people: "level 2" or "levels 1 2 3"."""
        numbers = " ".join(str(level.level) for level in self.levels)
        return f"levels {numbers}" if self.nested else f"level {numbers}"
