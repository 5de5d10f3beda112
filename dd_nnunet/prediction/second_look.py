"""What is decided once the probabilities of a whole case are there: a second pass, and the case's own means."""

from collections.abc import Iterator

import numpy as np

from dd_nnunet.core.case import FloatArray, PreparedCase
from dd_nnunet.core.part_tree import Labels, chosen_within
from dd_nnunet.core.plan import ConfigurationPlan, LevelGroup
from dd_nnunet.regions.own_means import divide_by_own_means, seen_smoothly
from dd_nnunet.regions.second_pass import second_pass
from dd_nnunet.regions.small_components import absorb_small_components


class SecondLook:
    """Of the levels of one network.

    Levels that start from objects get a second pass by the rules they start from, at the finest of them; coarser
    ones follow from it. Finer levels choose anew among the children of what was found: the most probable one, or,
    where the plan says so, by the case's own means, and without small components.

    Args:
        configuration: which levels get what.
        group: the levels.
    """

    def __init__(self, configuration: ConfigurationPlan, group: LevelGroup) -> None:
        self.configuration = configuration
        self.tree = group.tree
        self.levels = group.levels
        self.n_from_objects = sum(map(configuration.starts_from_objects, group.levels))
        finest = group.levels[self.n_from_objects - 1]
        self.plan = configuration.second_pass(finest) if self.n_from_objects else None
        segmenter = configuration.segmenter
        # of finer levels, whether they are decided with the whole case in sight
        self.divides = self.n_from_objects < len(group.levels) and (
            segmenter.own_means or segmenter.smallest_component > 0
        )

    def slices(self, slices: Iterator[FloatArray], case: PreparedCase) -> Iterator[FloatArray]:
        """Probabilities [parts of all levels,Y,X] along Z as they are, or one-hot of what was found."""
        if not (self.plan or self.divides) or not case.array.any():
            yield from slices
            return
        decided, below = [], []
        for probabilities in slices:
            if self.n_from_objects:
                decided.append(self.tree.decide(probabilities)[self.n_from_objects - 1])
            below.append(self._kept(probabilities))
        found = self._from_objects(np.stack(decided).astype(np.uint8), case) if decided else []
        if self.divides:
            found = self._divided(case, below, found)
        for z in range(case.array.shape[1]):
            levels = [labels[z] for labels in found]
            if not self.divides:
                for best in below[z]:
                    levels.append(chosen_within(best, levels[-1]))
            yield self.tree.one_hot(levels)

    def _from_objects(self, parts: Labels, case: PreparedCase) -> list[Labels]:
        """Parts [Z,Y,X] of the levels from objects, given those of the finest of them."""
        finest = self.n_from_objects - 1
        if self.plan is not None:
            spacing = case.properties.prepared_spacing_zyx_mm
            parts = second_pass(parts, case.array[0], self.plan, self.levels[finest].level, spacing)
        return [*self.tree.coarser(parts, finest), parts]

    def _kept(self, probabilities: FloatArray) -> list[np.ndarray]:
        """Of a slice, what finer levels are decided by: probabilities, or of each part above its best child."""
        finer = range(self.n_from_objects, self.tree.n_levels)
        if self.divides:
            return [probabilities[self.tree.channels[level]].astype(np.float16) for level in finer]
        return [self.tree.best_within(probabilities[self.tree.channels[level]], level) for level in finer]

    def _divided(
        self, case: PreparedCase, below: list[list[np.ndarray]], found: list[Labels]
    ) -> list[Labels]:
        """Parts [Z,Y,X] of all levels; what is kept of the slices is emptied on the way."""
        segmenter, spacing = self.configuration.segmenter, case.properties.prepared_spacing_zyx_mm
        smooth = seen_smoothly(case.array) if segmenter.own_means else None
        for level in range(self.n_from_objects, self.tree.n_levels):
            prior = np.stack([kept.pop(0) for kept in below], axis=1)
            parents = self.tree.parents[level - 1] if level else (0,) * self.tree.n_parts[0]
            above = found[-1] if found else None
            if smooth is None:
                parts = self.tree.decide_level(prior, level, above)
            else:
                parts = divide_by_own_means(smooth, prior, above, parents)
            if segmenter.smallest_component > 0:
                parts = absorb_small_components(parts, above, parents, segmenter.smallest_component, spacing)
            found = [*found, parts]
        return found
