"""One configuration of a plan: networks, features, levels and training at one resolution."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dd_nnunet.core.fingerprint import DatasetFingerprint
from dd_nnunet.core.plan import (
    ConfigurationPlan,
    Decision,
    DiffusionPlan,
    FeaturePlan,
    LevelPlan,
    NormalizationPlan,
    ObjectPlan,
    SegmenterPlan,
)
from dd_nnunet.core.units import GB
from dd_nnunet.planning.levels import PartsPerLevel
from dd_nnunet.planning.networks import RELEASED_DROPOUT, RELEASED_MULTIPLE, Networks, Task, plan_networks
from dd_nnunet.planning.object_levels import SMALLEST_SHARE
from dd_nnunet.planning.paper_departures import explain_departures
from dd_nnunet.planning.presets import Budget, Preset
from dd_nnunet.planning.reasons import (
    explain_effort,
    explain_features,
    explain_levels,
    explain_nesting,
    explain_networks,
    explain_objects,
    explain_own_means,
    product,
)
from dd_nnunet.planning.resolution import AVERAGED_FROM
from dd_nnunet.planning.rounding import rounded
from dd_nnunet.planning.stage_choice import (
    cell_size_mm,
    choose_stages,
    choose_timesteps,
    denoising_helps,
    diameter_of_level,
    given_stages,
    noise_after_averaging,
)
from dd_nnunet.planning.training_length import bounded, cases_of_a_fold, iterations_of_a_pass, stretched

N_TIMESTEPS = 250


@dataclass(frozen=True)
class DatasetChoices:
    """What all configurations of a plan have in common.

    Args:
        fingerprint: of the dataset.
        budget: what the user and the machine allow.
        normalization: one per channel.
        parts: K per level, level 1 first, and which part splits.
        assumed_mm: the diameter of level 1 where no object stood out.
        n_object_levels: so many levels start from objects within objects.
        objects_because: why, in words.
    """

    fingerprint: DatasetFingerprint
    budget: Budget
    normalization: tuple[NormalizationPlan, ...]
    parts: PartsPerLevel
    assumed_mm: float
    n_object_levels: int
    objects_because: str

    @property
    def preset(self) -> Preset:
        """How much effort is spent."""
        return self.budget.effort

    def diameter_mm(self, level: int) -> float:
        """Characteristic diameter of a level's objects."""
        return diameter_of_level(self.fingerprint.diameters_mm or (self.assumed_mm,), level)

    @property
    def objects(self) -> ObjectPlan | None:
        """How the first levels start, if not from k-means."""
        levels = range(1, self.n_object_levels + 1)
        if not levels:
            return None
        smallest = tuple(rounded(SMALLEST_SHARE * self.diameter_mm(level), 4) for level in levels)
        return ObjectPlan(
            self.parts.n_parts[: self.n_object_levels], smallest, self.preset.object_anchor_weight
        )

    def noise_sd(self, task: Task) -> float:
        """Noise of the prepared volumes; less than measured where they are averaged to a coarser grid."""
        pairs = zip(task.spacing_zyx_mm, self.fingerprint.median_spacing_zyx_mm, strict=True)
        # an axis that gets over half of its voxels is interpolated, which averages little
        factors = [new / old if new >= AVERAGED_FROM * old else 1.0 for new, old in pairs]
        factor = math.prod(factors) ** (1 / 3)
        return noise_after_averaging(self.fingerprint.noise_sd, self.fingerprint.noise_slope, factor)


def plan_configuration(
    name: str, task: Task, levels: Sequence[int], choices: DatasetChoices
) -> tuple[ConfigurationPlan, list[Decision]]:
    """Plan what depends on the resolution.

    Args:
        name: e.g. "3d_fullres".
        task: its spacing and typical shape.
        levels: numbers (1-based) of the levels that it serves.
        choices: what was decided for all configurations.

    Raises:
        UserError: too little memory.
    """
    preset, budget, fingerprint = choices.preset, choices.budget, choices.fingerprint
    nested = preset.nested and len(levels) > 1
    n_parts = [choices.parts.n_parts[level - 1] for level in levels]
    task = replace(task, n_parts=sum(n_parts) if nested else max(n_parts), nested=nested)
    nets = plan_networks(task, preset, budget)
    n_cases = sum(not case.constant for case in fingerprint.cases)
    diffusion = _diffusion(nets, preset, task, n_cases)
    noise_sd = choices.noise_sd(task)
    features = _features(noise_sd, preset)
    planned = _levels(levels, diffusion, task, choices)
    segmenter = _segmenter(nets, preset, task, n_cases, nested)
    from_objects = len(choices.objects.n_parts) if choices.objects else 0
    segmenter = replace(segmenter, own_means=preset.own_means and max(levels) > from_objects)
    chosen = f"preset {budget.preset}"
    extent = "cropped to what is not constant" if preset.crop else "whole volumes, as in the paper"
    configuration = ConfigurationPlan(
        spacing_zyx_mm=task.spacing_zyx_mm,
        median_shape_zyx=task.median_shape_zyx,
        patch_size_zyx=nets.topology.patch_size_zyx,
        normalization=choices.normalization,
        precision="bfloat16" if budget.fast_bf16 else "float32",
        diffusion=diffusion,
        features=features,
        segmenter=segmenter,
        levels=planned,
        gpu_memory_target_gb=budget.gpu_memory_target_gb,
        estimated_gpu_memory_gb=round(nets.estimated_bytes / GB, 3),
        reading=fingerprint.reading,
        crop=preset.crop,
        objects=choices.objects,
    )
    decisions = [
        Decision("median shape", product(task.median_shape_zyx), f"{extent}, at that spacing"),
        *explain_networks(nets, task, preset, budget),
        *explain_departures(nets, task, budget),
        *explain_features(features, noise_sd, N_TIMESTEPS, preset, chosen),
        *explain_levels(
            planned, fingerprint.diameters_mm, choices.assumed_mm, diffusion, task.spacing_zyx_mm, budget
        ),
        *explain_objects(choices.objects, choices.objects_because, segmenter),
        *explain_own_means(segmenter, chosen),
        *explain_nesting(configuration.groups, chosen),
        *explain_effort(diffusion, segmenter, chosen, preset),
    ]
    return configuration, [replace(decision, configuration=name) for decision in decisions]


def _diffusion(nets: Networks, preset: Preset, task: Task, n_cases: int) -> DiffusionPlan:
    patch, batch_size = nets.topology.patch_size_zyx, nets.diffusion_batch_size
    one_pass = iterations_of_a_pass(n_cases, task.median_shape_zyx, patch, batch_size)
    most = preset.float32_diffusion_voxels if task.is_float32 else None
    return DiffusionPlan(
        channels=nets.diffusion.channels,
        strides_zyx=nets.diffusion.strides_zyx,
        kernel_sizes_zyx=nets.diffusion.kernel_sizes_zyx,
        n_timesteps=N_TIMESTEPS,
        batch_size=batch_size,
        iterations=bounded(
            stretched(preset.diffusion_iterations, one_pass, preset), batch_size * math.prod(patch), most
        ),
        learning_rate=preset.diffusion_learning_rate,
        ema_decay=preset.ema_decay,
        recipe=preset.recipe,
        grid_zyx=preset.diffusion_grid_zyx,
    )


def _features(noise_sd: float, preset: Preset) -> FeaturePlan:
    return FeaturePlan(
        timesteps=preset.timesteps or choose_timesteps(noise_sd, N_TIMESTEPS),
        n_draws=preset.n_draws,
        scaling=preset.scaling,
        n_components=preset.n_components,
        visual_target=preset.visual_target if denoising_helps(noise_sd, N_TIMESTEPS) else "image",
    )


def _levels(
    numbers: Sequence[int], diffusion: DiffusionPlan, task: Task, choices: DatasetChoices
) -> tuple[LevelPlan, ...]:
    n_stages = diffusion.n_stages
    if choices.budget.stages is not None:
        stages = given_stages(choices.budget.stages, numbers, n_stages)
    elif choices.preset.stage_is_level:
        stages = tuple(min(number, n_stages) for number in numbers)
    else:
        cells = [cell_size_mm(diffusion, stage + 1, task.spacing_zyx_mm) for stage in range(n_stages)]
        stages = choose_stages(cells, [choices.diameter_mm(number) for number in numbers])
    return tuple(
        LevelPlan(number, choices.parts.n_parts[number - 1], (stage,), choices.parts.children[number - 1])
        for number, stage in zip(numbers, stages, strict=True)
    )


def _segmenter(nets: Networks, preset: Preset, task: Task, n_cases: int, nested: bool) -> SegmenterPlan:
    patch, batch_size = nets.topology.patch_size_zyx, nets.segmenter_batch_size
    epochs = preset.segmenter_epochs * (preset.nested_epochs if nested else 1)
    if preset.segmenter_iterations is None:
        iterations = math.ceil(cases_of_a_fold(n_cases) / batch_size)
    else:
        one_pass = iterations_of_a_pass(n_cases, task.median_shape_zyx, patch, batch_size)
        iterations = stretched(preset.segmenter_iterations, one_pass / epochs, preset)
        most = preset.float32_segmenter_voxels if task.is_float32 else None
        iterations = bounded(iterations, epochs * batch_size * math.prod(patch), most)
    return SegmenterPlan(
        features_per_stage=nets.segmenter.channels,
        strides_zyx=((1, 1, 1), *nets.segmenter.strides_zyx),
        kernel_sizes_zyx=nets.segmenter.kernel_sizes_zyx,
        n_convs_per_stage=nets.segmenter_convs,
        batch_size=batch_size,
        epochs=epochs,
        iterations_per_epoch=iterations,
        warm_start_epochs=preset.warm_start_epochs,
        learning_rate=preset.segmenter_learning_rate,
        feature_weight=preset.feature_weight,
        visual_weight=preset.visual_weight,
        invariance_weight=preset.invariance_weight,
        invariance_interval=preset.invariance_interval,
        scale_free=preset.scale_free,
        gamma_range=preset.gamma_range,
        anchor_weight=preset.anchor_weight,
        recipe=preset.recipe,
        kept_epoch=preset.kept_epoch,
        invariance=preset.invariance,
        feature_grid=preset.feature_grid,
        inner_multiple=RELEASED_MULTIPLE if preset.released_segmenter else 1,
        norm="batch" if preset.released_segmenter else "instance",
        dropout=RELEASED_DROPOUT if preset.released_segmenter else 0.0,
        nested=nested,
    )
