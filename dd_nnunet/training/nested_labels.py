"""Pseudo-labels of levels that nest: where the training of their network starts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dd_nnunet.core.case import FloatArray
from dd_nnunet.core.part_tree import PartTree
from dd_nnunet.core.plan import LevelGroup
from dd_nnunet.training.bounded_cache import BoundedCache
from dd_nnunet.training.case_points import CASE_ITERATIONS, CasePoints
from dd_nnunet.training.feature_cache import FeatureCache
from dd_nnunet.training.kmeans import assign, kmeans, lloyd
from dd_nnunet.training.pseudo_labels import (
    SAMPLE_CASES,
    SAMPLE_VOXELS,
    VOXELS_PER_PART,
    PartLabels,
    WarmStart,
)
from dd_nnunet.training.seeds import derive_seed
from dd_nnunet.training.selection import PartCounter, canonical_order


@dataclass(frozen=True)
class SampleCase:
    """A case that labels are fitted to.

    Args:
        target: [C,Z,Y,X] what k-means sees.
        given: [level,Z,Y,X] parts of the levels that start from objects; without levels if none does.
    """

    target: FloatArray
    given: PartLabels


class NestedLabels:
    """Parts of every level: those that are given, and below them k-means within each part.

    Centres of a part's children are fitted to the calm voxels of that part in the whole dataset, so that the same
    number means the same child everywhere, and refined on each case. Where nothing is given, the first level is a
    `WarmStart`, numbered such that part 0 owns most border voxels and the others follow by falling size. Children
    of a part are numbered by falling size too.

    Args:
        tree: which part lies in which.
        sample: training cases; at least one.
        seed: of k-means.
    """

    def __init__(self, tree: PartTree, sample: Sequence[SampleCase], seed: int) -> None:
        self.tree = tree
        self.n_given = len(sample[0].given)
        self._seed = seed
        self._first: WarmStart | None = None
        self._renumbered = torch.arange(tree.n_parts[0])
        points = [CasePoints(case.target) for case in sample]
        if self.n_given:
            above = [torch.from_numpy(case.given[-1].ravel()).long() for case in sample]
        else:
            self._first = WarmStart([case.target for case in sample], tree.n_parts[0], seed)
            self._renumbered = self._canonical(sample)
            above = [self._first_level(case.target) for case in sample]
        # per level below, per part that splits: its children's centres
        self._centres: dict[int, dict[int, Tensor]] = {}
        for level in range(max(self.n_given, 1), tree.n_levels):
            self._centres[level] = self._fit(level, points, above)
            above = [self._split(level, case, parts) for case, parts in zip(points, above, strict=True)]

    def of_case(self, case: SampleCase) -> PartLabels:
        """Parts [level,Z,Y,X] of all levels of any case."""
        points, shape = CasePoints(case.target), case.target.shape[1:]
        levels = [torch.from_numpy(parts.ravel()).long() for parts in case.given]
        if not levels:
            levels.append(self._first_level(case.target))
        for level in range(len(levels), self.tree.n_levels):
            levels.append(self._split(level, points, levels[-1]))
        return np.stack([parts.numpy().astype(np.uint8).reshape(shape) for parts in levels])

    def _first_level(self, target: FloatArray) -> Tensor:
        assert self._first is not None, "the first level is not given"
        return self._renumbered[torch.from_numpy(self._first.labels(target).ravel()).long()]

    def _canonical(self, sample: Sequence[SampleCase]) -> Tensor:
        """New number of each part of the first level."""
        assert self._first is not None, "the first level is not given"
        counter = PartCounter(self.tree.n_parts[0])
        for case in sample:
            labels = torch.from_numpy(self._first.labels(case.target)).long()
            counter.add(labels, torch.ones(labels.shape))
        return torch.tensor(canonical_order(counter.statistics())).argsort()

    def _fit(self, level: int, points: Sequence[CasePoints], above: Sequence[Tensor]) -> dict[int, Tensor]:
        centres = {}
        share = max(SAMPLE_VOXELS // len(points), 1)
        for parent in range(self.tree.n_parts[level - 1]):
            n_children = len(self.tree.children(level - 1, parent))
            seed = derive_seed(self._seed, "children", level, parent)
            random = np.random.default_rng(seed)
            drawn = [
                case.draw(random, share, self._to_fit(case, parts == parent, n_children))
                for case, parts in zip(points, above, strict=True)
            ]
            values = torch.cat(drawn)
            if n_children > 1 and len(values) >= n_children:
                found = kmeans(values, n_children, seed)
                sizes = torch.bincount(assign(values, found)[0], minlength=n_children)
                centres[parent] = found[sizes.argsort(descending=True, stable=True)]
        return centres

    def _split(self, level: int, case: CasePoints, above: Tensor) -> Tensor:
        """Parts [N] of a level, given those of the level before."""
        parts = torch.zeros_like(above)
        for parent in range(self.tree.n_parts[level - 1]):
            children = torch.tensor(self.tree.children(level - 1, parent))
            inside = above == parent
            if parent not in self._centres[level]:
                parts[inside] = children[0]
                continue
            fitted, values = (
                self._centres[level][parent],
                case.values[self._to_fit(case, inside, len(children))],
            )
            if len(values) >= VOXELS_PER_PART * len(children):
                fitted = lloyd(values, fitted, CASE_ITERATIONS)
            parts[inside] = children[assign(case.values[inside], fitted)[0]]
        return parts

    def _to_fit(self, case: CasePoints, inside: Tensor, n_children: int) -> Tensor:
        """The calm voxels of a part, or all of them where these are too few: [N] bool."""
        calm = inside & case.calm
        return calm if int(calm.sum()) >= VOXELS_PER_PART * n_children else inside


class CaseLabels:
    """`NestedLabels` of the cases of a fold, fitted when the first are asked for.

    Args:
        group: of levels.
        cache: objects and visual targets of the training cases.
        seed: of k-means.
    """

    def __init__(self, group: LevelGroup, cache: FeatureCache, seed: int) -> None:
        self.group = group
        self.cache = cache
        self._seed = seed
        self._fitted: NestedLabels | None = None
        self._labels: BoundedCache[PartLabels] = BoundedCache()

    def level(self, index: int, case_id: str) -> PartLabels:
        """Parts [Z,Y,X] of a case at the level of that place in the group."""
        parts: PartLabels = self._labels.get(case_id, lambda: self._of_case(case_id))[index]
        return parts

    def _of_case(self, case_id: str) -> PartLabels:
        if self._fitted is None:
            cases = self.cache.setup.fold.train
            few = cases[:: max(len(cases) // SAMPLE_CASES, 1)][:SAMPLE_CASES]
            self._fitted = NestedLabels(self.group.tree, [self._sample(c) for c in few], self._seed)
        return self._fitted.of_case(self._sample(case_id))

    def _sample(self, case_id: str) -> SampleCase:
        configuration = self.cache.setup.configuration
        target = self.cache.visual_target(case_id)
        given = [
            self.cache.object_parts(case_id, level.level)
            for level in self.group.levels
            if configuration.starts_from_objects(level)
        ]
        empty = np.empty((0, *target.shape[1:]), dtype=np.uint8)
        return SampleCase(target, np.stack(given) if given else empty)
