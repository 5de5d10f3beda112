"""Dividing whole training volumes after every epoch: how many parts live, how sure they are, what speaks for them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dd_nnunet.core.plan import LevelGroup, LevelPlan, Zyx
from dd_nnunet.core.tiling import iterate_tiles
from dd_nnunet.objectives.invariance import gamma_transform
from dd_nnunet.preprocessing.pad import Box
from dd_nnunet.regions.contrast import boundary_contrast
from dd_nnunet.training.criteria import (
    Criteria,
    Labels,
    agreement,
    explained_share,
    explained_share_of_cells,
)
from dd_nnunet.training.feature_cache import FeatureCache
from dd_nnunet.training.selection import PartCounter, PartStatistics
from dd_nnunet.training.setup import TrainingSetup

MONITOR_CASES = 16
MONITOR_PATCHES = 64
# the middle patch of so many cases is divided three times for the criteria
CRITERIA_CASES = 4
CRITERIA_PASSES = 3
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
        self.patch = setup.configuration.patch_size_zyx
        self.sees_all = setup.configuration.segmenter.kept_epoch == "certain"
        cases = setup.fold.train
        self.cases = cases if self.sees_all else spread(cases, MONITOR_CASES)

    @torch.inference_mode()
    def look(self, network: Network) -> tuple[PartStatistics, ...]:
        """Divide whole training volumes, as many as a bounded number of patches allows: statistics per level.

        Args:
            network: in eval mode.
        """
        counters = [PartCounter(n_parts) for n_parts in self.tree.n_parts]
        patches_left = MONITOR_PATCHES
        for case_id in self.cases:
            image, box = torch.from_numpy(self.setup.reader.image(case_id)), self.setup.reader.box(case_id)
            n_patches = len(self._starts(image))
            if not self.sees_all and n_patches > patches_left and patches_left < MONITOR_PATCHES:
                break
            patches_left -= n_patches
            owner, largest = self.divide(network, image)
            for counter, of_level, sure in zip(counters, owner, largest, strict=True):
                counter.add(of_level[box], sure[box])
        per_case = [self._criteria(network, case_id) for case_id in spread(self.cases, CRITERIA_CASES)]
        return tuple(
            replace(counter.statistics(), criteria=Criteria.mean(found))
            for counter, found in zip(counters, zip(*per_case, strict=True), strict=True)
        )

    def divide(self, network: Network, image: Tensor) -> tuple[Tensor, Tensor]:
        """The part that is chosen and its probability at each voxel of a padded image [C,Z,Y,X].

        Returns:
            [level,Z,Y,X] twice.
        """
        owner = torch.zeros(self.tree.n_levels, *image.shape[1:], dtype=torch.int64)
        largest = torch.zeros(self.tree.n_levels, *image.shape[1:])
        for start in self._starts(image):
            patch = tuple(slice(s, s + p) for s, p in zip(start, self.patch, strict=True))
            chosen, sure = self._divide_patch(network, image[(slice(None), *patch)])
            owner[(slice(None), *patch)], largest[(slice(None), *patch)] = chosen, sure
        return owner, largest

    def _divide_patch(self, network: Network, patch: Tensor) -> tuple[Tensor, Tensor]:
        logits = network(patch[None])[0]
        masks = torch.cat([logits[channels].softmax(dim=0) for channels in self.tree.channels])
        masks = masks.detach().cpu()
        chosen = torch.from_numpy(np.stack(self.tree.decide(masks.numpy())).astype(np.int64))
        sure = [
            masks[channels].gather(0, of_level[None])[0]
            for channels, of_level in zip(self.tree.channels, chosen, strict=True)
        ]
        return chosen, torch.stack(sure)

    def _starts(self, image: Tensor) -> Sequence[Zyx]:
        return list(iterate_tiles((image.shape[1], image.shape[2], image.shape[3]), self.patch, 1.0))

    def _criteria(self, network: Network, case_id: str) -> list[Criteria]:
        """Of every level, in the middle patch of a case, its padding left out."""
        image, box = torch.from_numpy(self.setup.reader.image(case_id)), self.setup.reader.box(case_id)
        starts = [(n - p) // 2 for n, p in zip(image.shape[1:], self.patch, strict=True)]
        around = tuple(slice(s, s + p) for s, p in zip(starts, self.patch, strict=True))
        patch = image[(slice(None), *around)]
        gamma = torch.tensor([self.setup.configuration.segmenter.gamma_range[1]])
        changed = gamma_transform(patch[None].clamp(0, 1), gamma)[0]
        copies = (
            self._divide_patch(network, patch)[0],
            self._divide_patch(network, patch.flip(SPATIAL_AXES))[0].flip(SPATIAL_AXES),
            self._divide_patch(network, changed)[0],
        )
        seen = tuple(
            slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(around, box, strict=True)
        )
        inner = tuple(slice(s.start - a.start, s.stop - a.start) for s, a in zip(seen, around, strict=True))
        target = self.cache.visual_target(case_id)[(slice(None), *seen)]
        found = []
        for number, (level, n_parts) in enumerate(zip(self.levels, self.tree.n_parts, strict=True)):
            parts, mirrored, other = (copy[number].numpy()[inner] for copy in copies)
            found.append(
                Criteria(
                    explained_visual=explained_share(parts, target, n_parts),
                    explained_features=self._explained_features(case_id, level, parts, seen),
                    boundary_contrast=boundary_contrast(parts, target),
                    mirror_agreement=agreement(parts, mirrored, n_parts),
                    gamma_agreement=agreement(parts, other, n_parts),
                )
            )
        return found

    def _explained_features(
        self, case_id: str, level: LevelPlan, parts: Labels, seen: tuple[slice, ...]
    ) -> float:
        """Mean over the level's stages; `seen`: where the parts lie in the padded volume."""
        box, shares = self.setup.reader.box(case_id), []
        for stage in level.stages:
            cells = self.cache.features(case_id, stage)
            cell_of = [
                self._cell_of(voxels, axis, stage, cells.shape[axis + 1], box)
                for axis, voxels in enumerate(seen)
            ]
            shares.append(explained_share_of_cells(parts, cells, cell_of, level.n_parts))
        return float(np.mean(shares))

    def _cell_of(self, voxels: slice, axis: int, stage: int, n_cells: int, box: Box) -> npt.NDArray[np.intp]:
        """The cell that each voxel of a range lies in; cells of a resized volume cover it without its padding."""
        places: npt.NDArray[np.intp] = np.arange(voxels.start, voxels.stop)
        diffusion = self.setup.configuration.diffusion
        if diffusion.grid_zyx is None:
            return places // diffusion.stage_reduction_zyx(stage)[axis]
        first, length = int(box[axis].start), int(box[axis].stop - box[axis].start)
        return (places - first) * n_cells // length


def spread(cases: Sequence[str], n: int) -> tuple[str, ...]:
    """So many cases at most, evenly spread."""
    return tuple(cases[:: max(len(cases) // n, 1)][:n])


def patches_per_epoch(n_cases: int, tiles_per_case: int, sees_all: bool) -> int:
    """How often a network divides a patch after an epoch, all volumes being of one size."""
    whole = n_cases
    if not sees_all:
        whole = min(n_cases, MONITOR_CASES, max(MONITOR_PATCHES // tiles_per_case, 1))
    return whole * tiles_per_case + CRITERIA_PASSES * min(n_cases, CRITERIA_CASES)
