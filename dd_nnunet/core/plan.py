"""The plan: all that was decided about a dataset, with the reasons. Written once, never changed by code."""

import itertools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from dd_nnunet.core.errors import UserError
from dd_nnunet.core.level_plan import LevelGroup as LevelGroup
from dd_nnunet.core.level_plan import LevelPlan as LevelPlan
from dd_nnunet.core.level_plan import ObjectPlan as ObjectPlan
from dd_nnunet.core.network_plans import DiffusionPlan as DiffusionPlan
from dd_nnunet.core.network_plans import FeaturePlan as FeaturePlan
from dd_nnunet.core.network_plans import SegmenterPlan as SegmenterPlan
from dd_nnunet.core.network_plans import Zyx as Zyx
from dd_nnunet.core.network_plans import check_lengths, check_multiple
from dd_nnunet.core.volume_plans import STRICT as STRICT
from dd_nnunet.core.volume_plans import NormalizationPlan as NormalizationPlan
from dd_nnunet.core.volume_plans import ReadingPlan as ReadingPlan

SCHEMA_VERSION = 1
DEFAULT_PLANS = "ddPlans"
DEFAULT_PRESET = "standard"
PLAIN_NAME = re.compile(r"[\w-]{1,100}")
# other JSON files of a prepared dataset, beside which NAME.json is written
TAKEN_NAMES = ("dataset", "dataset_fingerprint", "manifest", "splits_final")


def check_plans_name(name: str) -> None:
    """Refuse names of plans that lead elsewhere, or to a file that is no plan.

    Raises:
        ValueError: says what is allowed.
    """
    if not PLAIN_NAME.fullmatch(name):
        raise ValueError(f"{name[:100]!r} is no plain name (letters, digits, '_', '-'; at most 100)")
    if name.casefold() in TAKEN_NAMES:
        raise ValueError(f"{name!r} is the name of a file of the dataset itself; choose another")


def plans_flag(plans_name: str, flag: str = "-p") -> str:
    """What a command needs to mean the plan of that name: " -p NAME", nothing where it is the default."""
    return "" if plans_name == DEFAULT_PLANS else f" {flag} {plans_name}"


@dataclass(frozen=True)
class Decision:
    """One choice of the planner, for people; changing it changes nothing else.

    Args:
        name: what was chosen.
        value: what it was set to, in words.
        because: why.
        configuration: that it is about; empty = the whole plan.
    """

    name: str
    value: str
    because: str
    configuration: str = ""


@dataclass(frozen=True)
class ConfigurationPlan:
    """One resolution at which the dataset is prepared and trained.

    Args:
        spacing_zyx_mm: of the prepared volumes; above 0.
        median_shape_zyx: of the crops at that spacing.
        patch_size_zyx: voxels of a patch; a multiple of the diffusion U-Net's total stride on every axis, or, where
            that has a grid of its own, of the segmenter's.
        normalization: one per channel.
        precision: number format of the networks' activations; weights are float32 in both cases.
        diffusion: the diffusion U-Net and its pretraining.
        features: what is read from the trained diffusion model.
        segmenter: the network of every level and its training.
        levels: in order, coarsest first.
        gpu_memory_target_gb: what a training step may need.
        estimated_gpu_memory_gb: what the hungrier of the two training steps is estimated to need.
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
        if self.diffusion.grid_zyx is None:
            check_multiple("patch_size_zyx", self.patch_size_zyx, self.diffusion.stage_reduction_zyx(1))
        else:
            check_multiple("patch_size_zyx", self.patch_size_zyx, self.segmenter.total_stride_zyx)
            if self.features.visual_target != "image":
                raise ValueError('diffusion.grid_zyx goes with the visual target "image" only')

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


@dataclass(frozen=True)
class Plan:
    """Everything that is planned for a dataset; ddPlans.json.

    Args:
        dataset_name: e.g. "Dataset007_Cells".
        plans_name: name of this plan, letters, digits, "_" and "-"; prepared data and models are filed under it.
        planner: "default" or "paper".
        preset: how much effort is spent: "fast", "standard" or "paper".
        channel_names: of the dataset, in channel order.
        configurations: resolutions by name; each level of the hierarchy belongs to one of them.
        decisions: why it is so, in the order in which it was decided.
        schema_version: of this file.
    """

    dataset_name: str
    plans_name: str
    planner: str
    preset: str
    channel_names: tuple[str, ...]
    configurations: dict[str, ConfigurationPlan]
    decisions: tuple[Decision, ...]
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.schema_version != SCHEMA_VERSION:
            reason = f"schema_version is {self.schema_version}, not {SCHEMA_VERSION}: made by another version"
            raise ValueError(reason, "plan anew with dd_plan_experiment")
        try:
            check_plans_name(self.plans_name)
        except ValueError as error:
            raise ValueError(f"plans_name: {error}") from None
        n_parts = {0: 1}
        levels = [level for configuration in self.configurations.values() for level in configuration.levels]
        for level in sorted(levels, key=lambda level: level.level):
            if level.level in n_parts:
                raise ValueError(
                    f"level {level.level} stands twice in the configurations; each level belongs to one"
                )
            n_parts[level.level] = level.n_parts
            before = n_parts.get(level.level - 1)
            if level.children and len(level.children) != before:
                raise ValueError(
                    f"level {level.level} has {len(level.children)} children; "
                    f"one per part before it ({before or 'none is planned'}), or none"
                )

    def configuration(self, name: str) -> ConfigurationPlan:
        """The plan of one configuration.

        Raises:
            UserError: a configuration that is not planned.
        """
        if name not in self.configurations:
            planned = ", ".join(self.configurations)
            raise UserError(f"configuration {name!r}", "is not in the plan", f"planned: {planned}")
        return self.configurations[name]


def planning_anew(dataset: str, plan: Plan) -> str:
    """The command that plans a dataset again with the effort of a plan; its name is for the caller to add."""
    effort = "" if plan.preset == DEFAULT_PRESET else f" --preset {plan.preset}"
    effort = " -pl paper" if plan.planner == "paper" else effort
    return f"dd_plan_and_preprocess -d {dataset}{effort}"
