"""One configuration of a plan: all that depends on its resolution."""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from dd_nnunet.core.errors import UserError
from dd_nnunet.core.level_plan import LevelGroup, LevelPlan, ObjectPlan
from dd_nnunet.core.network_plans import (
    DiffusionPlan,
    FeaturePlan,
    SegmenterPlan,
    Zyx,
    check_above_0,
    check_at_least,
    check_lengths,
    check_multiple,
)
from dd_nnunet.core.volume_plans import STRICT, NormalizationPlan, ReadingPlan


@dataclass(frozen=True)
class ConfigurationPlan:
    """One resolution at which the dataset is prepared and trained.

    Args:
        spacing_zyx_mm: of the prepared volumes; above 0.
        median_shape_zyx: of the crops at that spacing; at least 1.
        patch_size_zyx: voxels of a patch; on every axis a multiple of the total strides of both networks, those left
            aside that resize what they are given (`grid_zyx`, `inner_multiple`).
        normalization: one per channel name of the plan.
        precision: number format of the networks' activations; weights are float32 in both cases.
        diffusion: the diffusion U-Net and its pretraining.
        features: what is read from the trained diffusion model.
        segmenter: the network of every level and its training.
        levels: in order, coarsest first.
        gpu_memory_target_gb: what a training step may need; above 0.
        estimated_gpu_memory_gb: what the hungrier of the two training steps is estimated to need; at least 0.
        reading: how raw volumes are read.
        crop: leave out of a volume what surrounds the box of its foreground.
        objects: the first levels' training starts from objects within objects; that of others, or of all where this
            is null, from k-means.
    """

    spacing_zyx_mm: tuple[float, float, float]
    median_shape_zyx: Zyx
    patch_size_zyx: Zyx
    normalization: tuple[NormalizationPlan, ...]
    precision: Literal["bfloat16", "float32"]
    diffusion: DiffusionPlan
    features: FeaturePlan
    segmenter: SegmenterPlan
    levels: tuple[LevelPlan, ...]
    gpu_memory_target_gb: float
    estimated_gpu_memory_gb: float
    reading: ReadingPlan = STRICT
    crop: bool = True
    objects: ObjectPlan | None = None

    def __post_init__(self) -> None:
        if not all(0 < mm < math.inf for mm in self.spacing_zyx_mm):
            raise ValueError(f"spacing_zyx_mm is {list(self.spacing_zyx_mm)}; must be above 0 on every axis")
        check_lengths("median_shape_zyx", self.median_shape_zyx)
        check_above_0(self, "gpu_memory_target_gb")
        check_at_least(self, 0, "estimated_gpu_memory_gb")
        self._check_patch()
        self._check_objects()
        self._check_nesting()
        n_timesteps = self.diffusion.n_timesteps
        for timestep in self.features.timesteps:
            if not 0 <= timestep < n_timesteps:
                raise ValueError(f"features.timesteps has {timestep}; allowed: 0–{n_timesteps - 1}")
        for level in self.levels:
            for stage in level.stages:
                if not 1 <= stage <= self.diffusion.n_stages:
                    raise ValueError(
                        f"level {level.level} uses stage {stage}; stages are 1–{self.diffusion.n_stages}"
                    )

    def _check_objects(self) -> None:
        if self.objects is None:
            return
        if len(self.normalization) > 1:
            raise ValueError(f"objects goes with one channel, not {len(self.normalization)}")
        if not self.segmenter.warm_start_epochs:
            raise ValueError("objects goes with a warm start; segmenter.warm_start_epochs from 1")
        for level in self.levels:
            if self.starts_from_objects(level) and level.n_parts != self.objects.n_parts[level.level - 1]:
                raise ValueError(
                    f"n_parts of level {level.level} is {level.n_parts}, objects.n_parts has "
                    f"{self.objects.n_parts[level.level - 1]}; they must agree"
                )

    def _check_nesting(self) -> None:
        if not self.levels:
            raise ValueError("levels is empty; at least one")
        numbers = [level.level for level in self.levels]
        if self.segmenter.nested and numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            raise ValueError(
                f"levels are {' '.join(map(str, numbers))}; with segmenter.nested their numbers follow each other"
            )
        # builds the tree of parts, which says what is wrong with it
        assert all(group.tree for group in self.groups)

    def _check_patch(self) -> None:
        check_lengths("patch_size_zyx", self.patch_size_zyx)
        both = zip(self.volume_multiple_zyx, self.segmenter.total_stride_zyx, strict=True)
        z, y, x = (math.lcm(*strides) for strides in both)
        check_multiple("patch_size_zyx", self.patch_size_zyx, (z, y, x), "by the networks' strides_zyx")
        if self.diffusion.grid_zyx is not None and self.features.visual_target != "image":
            raise ValueError('diffusion.grid_zyx goes with the visual target "image" only')
        segmenter = self.segmenter
        normalised = segmenter.batch_size if segmenter.norm == "batch" else 1
        # a mean over a single number leaves nothing of it
        if normalised * math.prod(segmenter.coarsest_zyx(self.patch_size_zyx)) < 2:
            raise ValueError(
                f"patch_size_zyx is {list(self.patch_size_zyx)}, one cell at the segmenter's coarsest resolution; "
                f'its norm "{segmenter.norm}" needs two: double the patch on one axis'
            )

    @property
    def volume_multiple_zyx(self) -> Zyx:
        """What a padded volume is a multiple of, so that the cells of every decoder stage cover it."""
        return (1, 1, 1) if self.diffusion.grid_zyx is not None else self.diffusion.stage_reduction_zyx(1)

    @property
    def diffusion_patch_zyx(self) -> Zyx:
        """What the diffusion U-Net sees at once: the grid that volumes are resized to, or a patch."""
        return self.diffusion.grid_zyx or self.patch_size_zyx

    @property
    def groups(self) -> tuple[LevelGroup, ...]:
        """The levels by the networks that they are trained with: one each, or one for all that nest."""
        if not self.segmenter.nested or len(self.levels) < 2:
            return tuple(LevelGroup((level,)) for level in self.levels)
        parents = []
        for before, level in itertools.pairwise(self.levels):
            if self.objects is not None and self.starts_from_objects(level):
                parents.append(self.objects.parents(level.level))
            else:
                parents.append(level.parents(before.n_parts))
        return (LevelGroup(self.levels, tuple(parents)),)

    def group(self, level: LevelPlan) -> LevelGroup:
        """The group that a level of this configuration belongs to."""
        return next(group for group in self.groups if level in group.levels)

    def groups_of(self, levels: Iterable[LevelPlan]) -> tuple[LevelGroup, ...]:
        """The groups that some levels belong to, each once."""
        return tuple(dict.fromkeys(map(self.group, levels)))

    def starts_from_objects(self, level: LevelPlan) -> bool:
        """Whether a level's training starts from objects, instead of k-means."""
        return self.objects is not None and level.level <= len(self.objects.n_parts)

    def second_pass(self, level: LevelPlan) -> ObjectPlan | None:
        """By which plan a predicted level gets a second pass; None if it gets none."""
        wanted = self.objects is not None and self.objects.second_pass
        return self.objects if wanted and self.starts_from_objects(level) else None

    def level(self, number: int) -> LevelPlan:
        """The plan of one level.

        Raises:
            UserError: a level that is not planned.
        """
        for level in self.levels:
            if level.level == number:
                return level
        planned = ", ".join(str(level.level) for level in self.levels)
        raise UserError(f"level {number}", "is not in the plan", f"planned levels: {planned}")
