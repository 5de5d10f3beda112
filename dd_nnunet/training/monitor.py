"""Dividing whole training volumes after every epoch: how many parts live, how sure they are, what speaks for them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from dd_nnunet.core.plan import LevelGroup, LevelPlan, Zyx
from dd_nnunet.core.tiling import iterate_tiles
from dd_nnunet.objectives.invariance import gamma_transform
from dd_nnunet.preprocessing.pad import Box
from dd_nnunet.training.criteria import (
    Criteria,
    Labels,
    agreement,
    boundary_contrast,
    explained_share,
    explained_share_of_cells,
)
from dd_nnunet.training.feature_cache import FeatureCache
from dd_nnunet.training.selection import PartCounter, PartStatistics
from dd_nnunet.training.setup import TrainingSetup

MONITOR_CASES = 16
MONITOR_PATCHES = 64
# mirrored and changed copies are divided too, so fewer volumes have to do
CRITERIA_CASES = 4
SPATIAL_AXES = (1, 2, 3)
# logits [B,channels,Z,Y,X] of patches [B,C,Z,Y,X]
Network = Callable[[Tensor], Tensor]


class Monitor:
    """Looks at how a network divides training volumes.

    Args:
        setup: cases and plan.
        group: levels of the network.
        cache: features and visual targets of the cases.
    """

    def __init__(self, setup: TrainingSetup, group: LevelGroup, cache: FeatureCache) -> None:
        self.setup = setup
        self.levels = group.levels
        self.tree = group.tree
        self.cache = cache
        self.sees_all = setup.configuration.segmenter.kept_epoch == "certain"
        cases = setup.fold.train
        few = cases[:: max(len(cases) // MONITOR_CASES, 1)][:MONITOR_CASES]
        self.cases = cases if self.sees_all else few

    @torch.inference_mode()
    def look(self, network: Network) -> tuple[PartStatistics, ...]:
        """Divide whole training volumes, as many as a bounded number of patches allows: statistics per level.

        Args:
            network: in eval mode.
        """
        counters = [PartCounter(n_parts) for n_parts in self.tree.n_parts]
        criteria: list[list[Criteria]] = [[] for _ in counters]
        patches_left = MONITOR_PATCHES
        for number, case_id in enumerate(self.cases):
            image, box = torch.from_numpy(self.setup.reader.image(case_id)), self.setup.reader.box(case_id)
            n_patches = len(self._starts(image))
            if not self.sees_all and n_patches > patches_left and patches_left < MONITOR_PATCHES:
                break
            patches_left -= n_patches
            owner, largest = self.divide(network, image)
            for counter, of_level, sure in zip(counters, owner, largest, strict=True):
                counter.add(of_level[box], sure[box])
            if number < CRITERIA_CASES:
                for found, of_level in zip(
                    criteria, self._criteria(network, case_id, image, owner), strict=True
                ):
                    found.append(of_level)
        return tuple(
            replace(counter.statistics(), criteria=Criteria.mean(found))
            for counter, found in zip(counters, criteria, strict=True)
        )

    def divide(self, network: Network, image: Tensor) -> tuple[Tensor, Tensor]:
        """The part that is chosen and its probability at each voxel of a padded image [C,Z,Y,X].

        Returns:
            [level,Z,Y,X] twice.
        """
        owner = torch.zeros(self.tree.n_levels, *image.shape[1:], dtype=torch.int64)
        largest = torch.zeros(self.tree.n_levels, *image.shape[1:])
        for start in self._starts(image):
            sides = zip(start, self.setup.configuration.patch_size_zyx, strict=True)
            patch = tuple(slice(s, s + p) for s, p in sides)
            logits = network(image[(slice(None), *patch)][None])[0]
            masks = torch.cat([logits[channels].softmax(dim=0) for channels in self.tree.channels])
            masks = masks.detach().cpu()
            for level, parts in enumerate(self.tree.decide(masks.numpy())):
                chosen = torch.from_numpy(parts.astype(np.int64))
                owner[level][patch] = chosen
                of_level = masks[self.tree.channels[level]]
                largest[level][patch] = of_level.gather(0, chosen[None])[0]
        return owner, largest

    def _starts(self, image: Tensor) -> Sequence[Zyx]:
        shape = (image.shape[1], image.shape[2], image.shape[3])
        return list(iterate_tiles(shape, self.setup.configuration.patch_size_zyx, 1.0))

    def _criteria(self, network: Network, case_id: str, image: Tensor, owner: Tensor) -> list[Criteria]:
        """Of every level, of one case; `owner` is of the padded volume."""
        box = self.setup.reader.box(case_id)
        mirrored = self.divide(network, image.flip(SPATIAL_AXES))[0].flip(SPATIAL_AXES)
        gamma = torch.tensor([self.setup.configuration.segmenter.gamma_range[1]])
        changed = self.divide(network, gamma_transform(image[None].clamp(0, 1), gamma)[0])[0]
        target = self.cache.visual_target(case_id)[(slice(None), *box)]
        found = []
        for level, n_parts, *divisions in zip(
            self.levels, self.tree.n_parts, owner, mirrored, changed, strict=True
        ):
            whole = divisions[0].numpy()
            parts, of_mirrored, of_changed = (division.numpy()[box] for division in divisions)
            found.append(
                Criteria(
                    explained_visual=explained_share(parts, target, n_parts),
                    explained_features=self._explained_features(case_id, level, whole, box),
                    boundary_contrast=boundary_contrast(parts, target),
                    mirror_agreement=agreement(parts, of_mirrored, n_parts),
                    gamma_agreement=agreement(parts, of_changed, n_parts),
                )
            )
        return found

    def _explained_features(self, case_id: str, level: LevelPlan, parts: Labels, box: Box) -> float:
        """Mean over the level's stages; cells of a resized volume cover it without its padding."""
        shares = []
        for stage in level.stages:
            cells = self.cache.features(case_id, stage)
            if self.setup.configuration.diffusion.grid_zyx is not None:
                shares.append(
                    explained_share_of_cells(_fitted(parts[box], cells.shape[1:]), cells, level.n_parts)
                )
            else:
                shares.append(explained_share_of_cells(parts, cells, level.n_parts))
        return float(np.mean(shares))


def _fitted(parts: Labels, cells_zyx: Sequence[int]) -> Labels:
    """Parts at the nearest places of a grid with as many voxels per axis as cells, or a multiple of that."""
    for axis, n_cells in enumerate(cells_zyx):
        n = parts.shape[axis]
        size = n_cells * max(round(n / n_cells), 1)
        parts = parts.take(((np.arange(size) + 0.5) * n / size).astype(int), axis=axis)
    return parts
