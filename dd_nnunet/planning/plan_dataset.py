"""From a fingerprint to a plan: every choice with its reason."""

from typing import Literal

from dd_nnunet.core.dataset import DatasetDescription
from dd_nnunet.core.fingerprint import DatasetFingerprint
from dd_nnunet.core.plan import (
    ConfigurationPlan,
    Decision,
    DiffusionPlan,
    FeaturePlan,
    LevelPlan,
    NormalizationPlan,
    Plan,
    SegmenterPlan,
)
from dd_nnunet.core.splits import N_FOLDS
from dd_nnunet.planning.levels import PartsPerLevel, choose_parts
from dd_nnunet.planning.memory import GB
from dd_nnunet.planning.networks import N_CONVS, Networks, Task, plan_networks
from dd_nnunet.planning.presets import PRESETS, Budget, Preset
from dd_nnunet.planning.reasons import (
    explain_effort,
    explain_features,
    explain_levels,
    explain_networks,
    explain_reading,
    product,
)
from dd_nnunet.planning.resolution import median_shape, target_spacing
from dd_nnunet.planning.stage_choice import cell_size_mm, choose_stages, choose_timesteps, diameter_of_level

FULL_RESOLUTION = "3d_fullres"
N_TIMESTEPS = 250
LOWER_PERCENTILE, UPPER_PERCENTILE = 0.5, 99.5


def plan_dataset(
    dataset_name: str, fingerprint: DatasetFingerprint, description: DatasetDescription, budget: Budget
) -> Plan:
    """Plan everything about a dataset from its fingerprint.

    Args:
        dataset_name: e.g. "Dataset007_Cells".
        fingerprint: measured, without labels.
        description: of dataset.json.
        budget: what the user and the machine allow.

    Raises:
        UserError: slices instead of volumes, too little memory, or parts that get fewer with depth.
    """
    preset, chosen = PRESETS[budget.preset], f"preset {budget.preset}"
    spacing, shape, decisions = _resolution(fingerprint, budget)
    parts = choose_parts(fingerprint.cases, description, budget)
    precision, precision_because = _precision(budget)
    task = Task(
        spacing, shape, description.n_channels, max(parts.n_parts), 2 if precision == "bfloat16" else 4
    )
    nets = plan_networks(task, preset, budget)
    diffusion = _diffusion(nets, preset)
    features = _features(fingerprint, preset)
    # where no object stands out, the volume itself is the object
    volume_mm = min(n * s for n, s in zip(shape, spacing, strict=True))
    levels = _levels(fingerprint.diameters_mm or (volume_mm,), diffusion, spacing, parts)
    segmenter = _segmenter(nets, preset, sum(not case.constant for case in fingerprint.cases))
    decisions = [
        Decision("preset", budget.preset, preset.because),
        *decisions,
        *explain_reading(fingerprint.reading),
        Decision("precision", precision, precision_because),
        *explain_networks(nets, task, preset, budget),
        *explain_features(features, fingerprint.noise_sd, N_TIMESTEPS, preset, chosen),
        Decision("parts per level", " ".join(map(str, parts.n_parts)), parts.because),
        *explain_levels(levels, fingerprint.diameters_mm, volume_mm, diffusion, spacing),
        *explain_effort(diffusion, segmenter, chosen),
    ]
    normalization = NormalizationPlan("percentile", LOWER_PERCENTILE, UPPER_PERCENTILE)
    configuration = ConfigurationPlan(
        spacing_zyx_mm=spacing,
        median_shape_zyx=shape,
        patch_size_zyx=nets.topology.patch_size_zyx,
        normalization=(normalization,) * description.n_channels,
        precision=precision,
        diffusion=diffusion,
        features=features,
        segmenter=segmenter,
        levels=levels,
        gpu_memory_target_gb=budget.gpu_memory_target_gb,
        estimated_gpu_memory_gb=round(nets.estimated_bytes / GB, 3),
        reading=fingerprint.reading,
    )
    return Plan(
        dataset_name=dataset_name,
        plans_name=budget.plans_name,
        planner="paper" if budget.preset == "paper" else "default",
        preset=budget.preset,
        channel_names=description.channel_names,
        configurations={FULL_RESOLUTION: configuration},
        decisions=tuple(decisions),
    )


def _resolution(
    fingerprint: DatasetFingerprint, budget: Budget
) -> tuple[tuple[float, float, float], tuple[int, int, int], list[Decision]]:
    if budget.target_spacing_zyx_mm is None:
        spacing, because = target_spacing(fingerprint)
    else:
        spacing, because = budget.target_spacing_zyx_mm, "given with -overwrite_target_spacing"
    shape = median_shape(fingerprint, spacing)
    decisions = [
        Decision("target spacing", f"{product(spacing)} mm", because),
        Decision("median shape", product(shape), "cropped to what is not constant, at the target spacing"),
        Decision(
            "intensities",
            f"percentiles {LOWER_PERCENTILE}-{UPPER_PERCENTILE} become 0-1",
            "a few extreme voxels must not decide the scale; background is left out",
        ),
    ]
    return spacing, shape, decisions


def _precision(budget: Budget) -> tuple[Literal["bfloat16", "float32"], str]:
    if budget.fast_bf16:
        return "bfloat16", f"{budget.hardware} computes bfloat16 fast; weights stay in float32"
    return "float32", f"{budget.hardware} has no bfloat16 instructions"


def _diffusion(nets: Networks, preset: Preset) -> DiffusionPlan:
    return DiffusionPlan(
        channels=nets.diffusion.channels,
        strides_zyx=nets.diffusion.strides_zyx,
        kernel_sizes_zyx=nets.diffusion.kernel_sizes_zyx,
        n_timesteps=N_TIMESTEPS,
        batch_size=nets.diffusion_batch_size,
        iterations=preset.diffusion_iterations,
        learning_rate=preset.diffusion_learning_rate,
        ema_decay=preset.ema_decay,
    )


def _features(fingerprint: DatasetFingerprint, preset: Preset) -> FeaturePlan:
    return FeaturePlan(
        timesteps=preset.timesteps or choose_timesteps(fingerprint.noise_sd, N_TIMESTEPS),
        n_draws=preset.n_draws,
        scaling=preset.scaling,
        n_components=preset.n_components,
        visual_target=preset.visual_target,
    )


def _levels(
    diameters_mm: tuple[float, ...],
    diffusion: DiffusionPlan,
    spacing_zyx_mm: tuple[float, float, float],
    parts: PartsPerLevel,
) -> tuple[LevelPlan, ...]:
    cells = [cell_size_mm(diffusion, stage + 1, spacing_zyx_mm) for stage in range(diffusion.n_stages)]
    diameters = [diameter_of_level(diameters_mm, level + 1) for level in range(len(parts.n_parts))]
    stages = choose_stages(cells, diameters)
    return tuple(
        LevelPlan(number, n, (stage,), children)
        for number, (n, stage, children) in enumerate(
            zip(parts.n_parts, stages, parts.children, strict=True), start=1
        )
    )


def _segmenter(nets: Networks, preset: Preset, n_cases: int) -> SegmenterPlan:
    one_pass = -(-(n_cases - n_cases // N_FOLDS) // nets.segmenter_batch_size)
    return SegmenterPlan(
        features_per_stage=nets.segmenter.channels,
        strides_zyx=((1, 1, 1), *nets.segmenter.strides_zyx),
        kernel_sizes_zyx=nets.segmenter.kernel_sizes_zyx,
        n_convs_per_stage=N_CONVS,
        batch_size=nets.segmenter_batch_size,
        epochs=preset.segmenter_epochs,
        iterations_per_epoch=preset.segmenter_iterations or one_pass,
        warm_start_epochs=preset.warm_start_epochs,
        learning_rate=preset.segmenter_learning_rate,
        feature_weight=preset.feature_weight,
        visual_weight=preset.visual_weight,
        invariance_weight=preset.invariance_weight,
        scale_free=preset.scale_free,
        gamma_range=preset.gamma_range,
        anchor_weight=preset.anchor_weight,
    )
