"""The planner's decisions in words."""

from collections.abc import Iterator, Sequence

from dd_nnunet.core.noise_schedule import added_noise_sd
from dd_nnunet.core.plan import Decision, DiffusionPlan, FeaturePlan, LevelPlan, SegmenterPlan
from dd_nnunet.planning.memory import GB
from dd_nnunet.planning.networks import MAX_DIFFUSION_RESOLUTIONS, Networks, Task
from dd_nnunet.planning.presets import Budget, Preset
from dd_nnunet.planning.stage_choice import (
    CELLS_PER_DIAMETER,
    FIRST_RANGE,
    NOISE_FACTOR,
    cell_size_mm,
    diameter_of_level,
)


def product(values: Sequence[float]) -> str:
    """E.g. "64 x 64 x 32"."""
    return " x ".join(f"{value:g}" for value in values)


def explain_networks(nets: Networks, task: Task, preset: Preset, budget: Budget) -> Iterator[Decision]:
    """Patch, down-samplings, channels, batch sizes and the memory they need."""
    topology = nets.topology
    memory = f"{budget.gpu_memory_target_gb:g} GB"
    yield Decision(
        "patch size", product(topology.patch_size_zyx), _why_this_patch(nets, task, preset, memory)
    )
    yield Decision(
        "down-samplings",
        f"{len(topology.strides_zyx)} (diffusion {len(nets.diffusion.strides_zyx)})",
        "an axis is halved while it has 8 cells and is not twice as coarse as the finest; "
        f"the diffusion U-Net has at most {MAX_DIFFUSION_RESOLUTIONS} resolutions, as in the paper",
    )
    narrowed = f", divided by {nets.channel_divisor} to fit {memory}" if nets.channel_divisor > 1 else ""
    for name, shape in (("diffusion", nets.diffusion), ("segmenter", nets.segmenter)):
        channels = " ".join(map(str, shape.channels))
        yield Decision(f"{name} channels", channels, f"{preset.because}; doubled per resolution{narrowed}")
    for name, size, wished in (
        ("diffusion", nets.diffusion_batch_size, preset.diffusion_batch_size),
        ("segmenter", nets.segmenter_batch_size, preset.segmenter_batch_size),
    ):
        because = (
            preset.because if size == wished else f"{preset.because} wishes {wished}; {size} fit {memory}"
        )
        yield Decision(f"{name} batch size", str(size), because)
    yield Decision(
        "memory of a training step",
        f"{nets.estimated_bytes / GB:.2f} GB",
        f"estimated; the target is {memory}",
    )


def _why_this_patch(nets: Networks, task: Task, preset: Preset, memory: str) -> str:
    multiple = f"a multiple of {product(nets.topology.total_stride_zyx)}"
    if nets.topology.patch_size_zyx == nets.full_patch_zyx:
        return f"the median shape {product(task.median_shape_zyx)}, padded to {multiple}"
    bounds = f"{memory} of memory"
    if preset.max_patch_voxels is not None:
        bounds += f" or the {preset.max_patch_voxels} voxels of {preset.because.split(':')[0]}"
    return f"shrunk from {product(nets.full_patch_zyx)} to stay within {bounds}; {multiple}"


def explain_features(
    features: FeaturePlan, noise_sd: float, n_timesteps: int, preset: Preset
) -> Iterator[Decision]:
    """Timesteps and what is done with the features."""
    if preset.timesteps is None:
        first = features.timesteps[0]
        low, high = FIRST_RANGE
        because = (
            f"the noise of the data has sd {noise_sd:.3f} of the intensity range; t={first} adds "
            f"{added_noise_sd(n_timesteps)[first]:.3f}, nearest {NOISE_FACTOR:g} times that within "
            f"{low:g}-{high:g} of T={n_timesteps}; later ones blur more and are averaged in"
        )
    else:
        because = preset.because
    yield Decision("timesteps", " ".join(map(str, features.timesteps)), because)
    kept = f"{features.n_components} principal components" if features.n_components else "all channels"
    scaled = "each channel to unit variance" if features.scaling == "standardise" else "not scaled"
    yield Decision("features", f"{kept}, {features.n_draws} noise draws", f"{preset.because}; {scaled}")
    yield Decision("visual target", features.visual_target, f"{preset.because}; compared by Eq. 7")


def explain_levels(
    levels: Sequence[LevelPlan],
    parts_because: str,
    diameters_mm: Sequence[float],
    diffusion: DiffusionPlan,
    spacing_zyx_mm: Sequence[float],
) -> Iterator[Decision]:
    """K and the decoder stage of each level."""
    yield Decision("parts per level", " ".join(str(level.n_parts) for level in levels), parts_because)
    for level in levels:
        stage = level.stages[0]
        diameter = diameter_of_level(diameters_mm, level.level)
        cell = cell_size_mm(diffusion, stage, spacing_zyx_mm)
        measured = "measured" if level.level <= len(diameters_mm) else "half of the level before"
        yield Decision(
            f"stage of level {level.level}",
            f"{stage} of {diffusion.n_stages}",
            f"its cells of {cell:.3g} mm are nearest 1/{CELLS_PER_DIAMETER:g} of "
            f"the diameter {diameter:.3g} mm ({measured})",
        )


def explain_effort(diffusion: DiffusionPlan, segmenter: SegmenterPlan, preset: Preset) -> Iterator[Decision]:
    """How long is trained, and with which weights."""
    yield Decision(
        "diffusion training",
        f"{diffusion.iterations} iterations, rate {diffusion.learning_rate:g}, EMA {diffusion.ema_decay:g}",
        preset.because,
    )
    yield Decision(
        "segmenter training",
        f"{segmenter.epochs} epochs x {segmenter.iterations_per_epoch}, rate {segmenter.learning_rate:g}",
        f"{preset.because}; {segmenter.warm_start_epochs} epochs of warm start",
    )
    weights = (segmenter.feature_weight, segmenter.visual_weight, segmenter.invariance_weight)
    scale = "divided by its own variance" if segmenter.scale_free else "in its own units"
    yield Decision(
        "loss weights", " ".join(f"{w:g}" for w in weights), f"{preset.because}; each consistency {scale}"
    )
