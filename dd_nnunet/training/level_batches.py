"""What a level's losses need for a batch of patches: features, visual target and pseudo-labels, cut to fit."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dd_nnunet.core.case import FloatArray
from dd_nnunet.core.plan import LevelPlan, Zyx
from dd_nnunet.objectives.consistency import Representation, represent_cells, represent_voxels
from dd_nnunet.objectives.upsampling import AxisMatrices, axis_matrices
from dd_nnunet.training.bounded_cache import BoundedCache
from dd_nnunet.training.feature_cache import FeatureCache, feature_windows
from dd_nnunet.training.pseudo_labels import PartLabels, WarmStart


class LevelTargets:
    """Targets of one level, read from the feature cache.

    Args:
        cache: features and visual targets of the training cases.
        level: which stages, how many parts.
        fit_warm_start: fits what gives pseudo-labels by k-means; called once, when the first are asked for.
        device: where the losses are computed.
        nested: pseudo-labels [Z,Y,X] of a case, where the level is one of several that nest; None = its own.
    """

    def __init__(
        self,
        cache: FeatureCache,
        level: LevelPlan,
        fit_warm_start: Callable[[], WarmStart],
        device: torch.device,
        nested: Callable[[str], PartLabels] | None = None,
    ) -> None:
        self.cache = cache
        self.level = level
        self._nested = nested
        self._fit_warm_start = fit_warm_start
        self.device = device
        self.configuration = cache.setup.configuration
        self.patch: Zyx = self.configuration.patch_size_zyx
        self._labels: BoundedCache[PartLabels] = BoundedCache()

    def visual(self, batch: dict[str, Any]) -> Representation:
        """Representation of Eq. 7 at every voxel of the batch's patches."""
        patches = [
            _cut(self.cache.visual_target(case_id), start, self.patch)
            for case_id, start in zip(batch["case_ids"], batch["starts_zyx"], strict=True)
        ]
        return represent_voxels(torch.from_numpy(np.stack(patches)).to(self.device))

    def features(self, batch: dict[str, Any]) -> list[Representation]:
        """Representation of Eq. 6 per stage, at low resolution with its up-sampling."""
        return [self._stage(batch["case_ids"], batch["starts_zyx"], stage) for stage in self.level.stages]

    def pseudo_labels(self, batch: dict[str, Any]) -> Tensor:
        """Parts [B,Z,Y,X] int64 of the batch's patches: objects, or k-means where the plan has none."""
        patches = [
            _cut(self._case_labels(case_id)[None], start, self.patch)[0]
            for case_id, start in zip(batch["case_ids"], batch["starts_zyx"], strict=True)
        ]
        return torch.from_numpy(np.stack(patches)).long().to(self.device)

    @functools.cached_property
    def _warm_start(self) -> WarmStart:
        return self._fit_warm_start()

    def _case_labels(self, case_id: str) -> PartLabels:
        return self._labels.get(case_id, lambda: self._label_case(case_id))

    def _label_case(self, case_id: str) -> PartLabels:
        if self._nested is not None:
            return self._nested(case_id)
        if self.configuration.starts_from_objects(self.level):
            return self.cache.object_parts(case_id, self.level.level)
        return self._warm_start.labels(self.cache.visual_target(case_id))

    def _stage(self, case_ids: Sequence[str], starts: Sequence[Zyx], stage: int) -> Representation:
        windows, matrices = [], []
        for case_id, start in zip(case_ids, starts, strict=True):
            cells = self.cache.features(case_id, stage)
            first, size, axes = self._interpolation(case_id, start, stage, _shape(cells))
            windows.append(torch.from_numpy(_cut(cells, first, size)))
            matrices.append(axes)
        z, y, x = (stack_padded(axis).to(self.device) for axis in zip(*matrices, strict=True))
        stacked: AxisMatrices = (z, y, x)
        return represent_cells(stack_padded(windows).to(self.device), stacked)

    def _interpolation(
        self, case_id: str, start: Zyx, stage: int, cells: Zyx
    ) -> tuple[Zyx, Zyx, AxisMatrices]:
        """First cells and number of cells that a patch is interpolated from, and by which matrices.

        Cells of a resized volume cover the volume without its padding, each the same share of it.
        """
        on_corners = self.configuration.segmenter.feature_grid == "corners"
        reduction = self.configuration.diffusion.stage_reduction_zyx(stage)
        if self.configuration.diffusion.grid_zyx is not None:
            box = self.cache.setup.reader.box(case_id)
            z, y, x = ((b.stop - b.start) / n for b, n in zip(box, cells, strict=True))
            offset = tuple(s - b.start for s, b in zip(start, box, strict=True))
            return (0, 0, 0), cells, axis_matrices(self.patch, cells, (z, y, x), offset, on_corners)
        if on_corners:
            return (0, 0, 0), cells, axis_matrices(self.patch, cells, reduction, start, on_corners)
        first, size = feature_windows(self.patch, cells, reduction, start)
        offset = tuple(s - f * r for s, f, r in zip(start, first, reduction, strict=True))
        return first, size, axis_matrices(self.patch, size, reduction, offset)


def stack_padded(tensors: Sequence[Tensor]) -> Tensor:
    """Stack tensors of different sizes, smaller ones filled up with zeros at the ends.

    Volumes that are no larger than a patch give windows of fewer cells. A cell that is added has a column of zeros
    in the up-sampling matrix, so it counts for nothing.
    """
    sizes = [max(lengths) for lengths in zip(*(t.shape for t in tensors), strict=True)]
    padded = []
    for tensor in tensors:
        missing = [(0, size - length) for size, length in zip(sizes, tensor.shape, strict=True)]
        padded.append(torch.nn.functional.pad(tensor, [n for pair in reversed(missing) for n in pair]))
    return torch.stack(padded)


def _shape(array: FloatArray) -> Zyx:
    return (array.shape[1], array.shape[2], array.shape[3])


def _cut(array: Any, start: Zyx, size: Zyx) -> Any:
    box = tuple(slice(s, s + n) for s, n in zip(start, size, strict=True))
    return array[(slice(None), *box)]
