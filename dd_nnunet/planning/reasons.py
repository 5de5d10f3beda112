"""The planner's decisions in words."""

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from dd_nnunet.core.noise_schedule import added_noise_sd
from dd_nnunet.core.plan import (
    Decision,
    DiffusionPlan,
    FeaturePlan,
    LevelGroup,
    LevelPlan,
    ObjectPlan,
    ReadingPlan,
    SegmenterPlan,
)
from dd_nnunet.core.units import GB, counted
from dd_nnunet.planning.memory import UNetShape
from dd_nnunet.planning.networks import (
    MAX_DIFFUSION_RESOLUTIONS,
    Networks,
    Task,
    batch_in_time,
    largest_batch,
)
from dd_nnunet.planning.presets import PAPER, Budget, Preset
from dd_nnunet.planning.stage_choice import (
    CELLS_PER_DIAMETER,
    FIRST_RANGE,
    NOISE_FACTOR,
    cell_size_mm,
    diameter_of_level,
)

LINE_WIDTH, NAME_WIDTH = 80, 24
SCALINGS = {
    "none": "not scaled",
    "standardise": "each channel to unit variance",
    "whiten": "each component to unit variance",
}
OWN_MEANS = "in each predicted case"
KEPT_BY_PAPER = "highest mean largest probability"
KEPT_EPOCHS = {
    "alive": "the epoch with the most living parts, of equal ones the surest",
    "certain": "the surest epoch",
}


def product(values: Sequence[float]) -> str:
    """E.g. "64 x 64 x 32"."""
    return " x ".join(f"{value:g}" for value in values)


def shared_levels(levels: Mapping[str, Sequence[int]]) -> str:
    """E.g. "3d_lowres: level 1 2; 3d_fullres: level 3"."""
    return "; ".join(f"{name}: level {' '.join(map(str, numbers))}" for name, numbers in levels.items())


def explain_reading(reading: ReadingPlan) -> Iterator[Decision]:
    """What odd volumes are allowed; nothing where nothing is."""
    later = "the same holds for volumes that are predicted"
    if reading.nan != "refuse":
        value = "0" if reading.nan == "zero" else "the median of the channel's others"
        yield Decision("NaN and infinite voxels", f"become {value}", f"given with --nan; {later}")
    if reading.allow_geometry_mismatch:
        yield Decision(
            "channels elsewhere",
            "taken as if they lay where the first one does",
            f"given with --allow_geometry_mismatch; {later}",
        )


def explain_networks(nets: Networks, task: Task, preset: Preset, budget: Budget) -> Iterator[Decision]:
    """Patch, down-samplings, channels, batch sizes and the memory they need."""
    memory = f"{budget.gpu_memory_target_gb:g} GB"
    chosen = f"preset {budget.preset}"
    patch = product(nets.topology.patch_size_zyx)
    yield Decision("patch size", patch, _why_this_patch(nets, task, preset, budget))
    yield Decision(
        "down-samplings",
        f"{_halvings(nets.segmenter)} (diffusion {_halvings(nets.diffusion)})",
        _by_axis(nets.segmenter)
        + "an axis is halved while it has 8 cells and is not twice as coarse as the finest; "
        f"the diffusion U-Net has at most {MAX_DIFFUSION_RESOLUTIONS} resolutions, as in the paper",
    )
    narrowed = f", divided by {nets.channel_divisor} to fit {memory}" if nets.channel_divisor > 1 else ""
    doubled = f"{chosen}; doubled at each resolution{narrowed}"
    released = "as in the released code (--as_released small_segmenter)"
    for name, shape, because in (
        ("diffusion", nets.diffusion, doubled),
        ("segmenter", nets.segmenter, released if preset.released_segmenter else doubled),
    ):
        yield Decision(f"{name} channels", " ".join(map(str, shape.channels)), because)
    for name, size, wished in (
        ("diffusion", nets.diffusion_batch_size, preset.diffusion_batch_size),
        ("segmenter", nets.segmenter_batch_size, preset.segmenter_batch_size),
    ):
        if size == wished:
            because = chosen
        elif size == max(1, batch_in_time(nets.topology, wished, preset)):
            because = f"{chosen} takes {wished} of 32 x 32 x 32 voxels, and as many fewer of larger patches"
        elif size == largest_batch(nets.topology, wished, task, preset):
            because = f"{chosen} takes fewer of larger patches, but single float32 volumes are slow on a CPU"
        else:
            because = f"{chosen} wishes {wished}; {size} fit {memory}"
        yield Decision(f"{name} batch size", str(size), because)
    yield Decision(
        "memory per step", f"{nets.estimated_bytes / GB:.2f} GB", f"estimated; the target is {memory}"
    )


def _halvings(shape: UNetShape) -> int:
    return sum(math.prod(stride) > 1 for stride in shape.strides_zyx)


def _by_axis(shape: UNetShape) -> str:
    """How often each axis is halved, and where convolutions are flat, if axes differ."""
    halved = [sum(stride[axis] > 1 for stride in shape.strides_zyx) for axis in range(3)]
    flat = [sum(kernel[axis] == 1 for kernel in shape.kernel_sizes_zyx) for axis in range(3)]
    told = [f"along {axis} {n}" for axis, n in zip("zyx", halved, strict=True)]
    text = f"{', '.join(told)}; " if len(set(halved)) > 1 else ""
    for axis, n in zip("zyx", flat, strict=True):
        if n:
            where = "the finest resolution" if n == 1 else f"the {n} finest resolutions"
            text += f"convolutions do not reach along {axis} at {where}; "
    return text


def _why_this_patch(nets: Networks, task: Task, preset: Preset, budget: Budget) -> str:
    multiple = f"a multiple of {product(nets.topology.total_stride_zyx)}"
    if preset.any_patch:
        multiple = "both networks resize what they are given"
    steps = []
    if nets.preset_patch_zyx != nets.full_patch_zyx:
        slow = task.is_float32 and preset.float32_patch_voxels
        without = " without fast bfloat16" if slow else ""
        bound = preset.patch_bound(task.is_float32)
        steps.append(f"shrunk to the {bound} voxels of preset {budget.preset}{without}")
    if nets.topology.patch_size_zyx != nets.preset_patch_zyx:
        steps.append(f"shrunk to fit {budget.gpu_memory_target_gb:g} GB")
    return "; ".join([f"the median shape {product(task.median_shape_zyx)}", *steps, multiple])


def explain_features(
    features: FeaturePlan, noise_sd: float, n_timesteps: int, preset: Preset, chosen: str
) -> Iterator[Decision]:
    """Timesteps and what is done with the features."""
    timesteps = " ".join(map(str, features.timesteps))
    if preset.timesteps is None:
        yield Decision("timesteps", timesteps, _why_these_timesteps(features, noise_sd, n_timesteps))
    else:
        yield Decision("timesteps", timesteps, chosen)
    scaled = SCALINGS[features.scaling]
    fewer = "; all of a stage with fewer channels" if features.n_components else ""
    yield Decision("features", kept_features(features), f"{chosen}; {scaled}{fewer}")
    because = f"{chosen}; compared by Eq. 7, and what levels without objects start from"
    if features.visual_target != preset.visual_target:
        because = (
            f"the data's own noise of sd {noise_sd:.3f} is less than a third of what the earliest timestep adds, so "
            "the denoised one would lose more structure than noise; compared by Eq. 7"
        )
    yield Decision("visual target", features.visual_target, because)


def kept_features(features: FeaturePlan) -> str:
    """E.g. "32 principal components, 4 noise draws"."""
    kept = f"{features.n_components} principal components" if features.n_components else "all channels"
    return f"{kept}, {counted(features.n_draws, 'noise draw')}"


def _why_these_timesteps(features: FeaturePlan, noise_sd: float, n_timesteps: int) -> str:
    first = features.timesteps[0]
    bounds = [round(share * n_timesteps) for share in FIRST_RANGE]
    added = added_noise_sd(n_timesteps)[first]
    nearest = f"nearest {NOISE_FACTOR:g} times that"
    if first in bounds:
        nearest += f" within t={bounds[0]}-{bounds[1]}"
    return (
        f"the data's own noise has sd {noise_sd:.3f} of the intensity range; t={first} adds {added:.3f}, "
        f"{nearest}; the later one blurs more, and their features are averaged"
    )


def explain_levels(
    levels: Sequence[LevelPlan],
    measured_mm: Sequence[float],
    assumed_mm: float,
    diffusion: DiffusionPlan,
    spacing_zyx_mm: Sequence[float],
    budget: Budget,
) -> Iterator[Decision]:
    """The decoder stage of each level; without a measured diameter, `assumed_mm` stands for the first."""
    for level in levels:
        stage = level.stages[0]
        name, value = f"stage of level {level.level}", f"{stage} of {diffusion.n_stages}"
        if budget.stages is not None:
            yield Decision(name, value, "given with --stages")
            continue
        if budget.effort.stage_is_level:
            yield Decision(
                name, value, f"preset {budget.preset}: level l is fed by stage l, where there is one"
            )
            continue
        diameter = diameter_of_level(measured_mm or (assumed_mm,), level.level)
        cell = cell_size_mm(diffusion, stage, spacing_zyx_mm)
        if level.level <= len(measured_mm):
            origin = "measured"
        else:
            origin = "half of the level before" if level.level > 1 else "the volume's; no object stood out"
        yield Decision(
            name,
            value,
            f"its cells of {cell:.3g} mm come nearest to 1/{CELLS_PER_DIAMETER:g} of the "
            f"diameter {diameter:.3g} mm ({origin})",
        )


def explain_objects(objects: ObjectPlan | None, because: str, segmenter: SegmenterPlan) -> Iterator[Decision]:
    """Which levels start from objects within objects; nothing where there is no warm start."""
    if not segmenter.warm_start_epochs:
        return
    if objects is not None:
        because += "; what is narrower than half of the characteristic diameters is taken for noise"
    yield Decision("levels from objects", levels_from_objects(objects), because)


def levels_from_objects(objects: ObjectPlan | None) -> str:
    """E.g. "1 2, at least 11 2.96 mm wide, weight 10 beside the losses, looked at again when predicted"."""
    if objects is None:
        return "none; k-means"
    levels = " ".join(str(number) for number, _ in enumerate(objects.n_parts, start=1))
    smallest = " ".join(f"{mm:.3g}" for mm in objects.smallest_mm)
    text = f"{levels}, at least {smallest} mm wide, weight {objects.anchor_weight:g} beside the losses"
    return text + ", looked at again when predicted" * objects.second_pass


def explain_own_means(segmenter: SegmenterPlan, chosen: str) -> Iterator[Decision]:
    """Whether levels from k-means are decided anew in each predicted case; nothing where they are not."""
    if segmenter.own_means:
        because = (
            f"{chosen}; levels from k-means: what is bright differs between cases, and Eq. 7 is of one image"
        )
        yield Decision("own means", OWN_MEANS, because)


def explain_nesting(groups: Sequence[LevelGroup], chosen: str) -> Iterator[Decision]:
    """Which levels one network is trained for, and which part of theirs lies in which."""
    for group in groups:
        if not group.nested:
            continue
        told = [
            f"level {level.level}: {' '.join(map(str, parents))}"
            for level, parents in zip(group.levels[1:], group.parents, strict=True)
        ]
        because = (
            f"{chosen}; one network for {group.name}, in which a part's probability is its parent's times its share "
            "among the siblings, so that parts lie in parts without exception"
        )
        yield Decision("parent of each part", "; ".join(told), because)


def explain_effort(
    diffusion: DiffusionPlan, segmenter: SegmenterPlan, chosen: str, preset: Preset | None = None
) -> Iterator[Decision]:
    """How long is trained, and with which weights; `preset`, if known, tells what was stretched or cut short."""
    iterations, per_epoch = (
        (diffusion.iterations, segmenter.iterations_per_epoch)
        if preset is None
        else (preset.diffusion_iterations, preset.segmenter_iterations or segmenter.iterations_per_epoch)
    )
    yield Decision(
        "diffusion training",
        f"{diffusion.iterations} iterations, rate {diffusion.learning_rate:g}, EMA {diffusion.ema_decay:g}",
        chosen + _how_long(diffusion.iterations, iterations),
    )
    yield Decision(
        "segmenter training",
        f"{segmenter.epochs} epochs x {segmenter.iterations_per_epoch}, rate {segmenter.learning_rate:g}",
        f"{chosen}{_how_long(segmenter.iterations_per_epoch, per_epoch)}"
        f"{_more_epochs(segmenter, preset)}; "
        f"{segmenter.warm_start_epochs} of the epochs are warm start; kept is {KEPT_EPOCHS[segmenter.kept_epoch]}",
    )
    if segmenter.warm_start_epochs:
        yield Decision(
            "warm start",
            f"{segmenter.warm_start_epochs} epochs, then weight {segmenter.anchor_weight:g}",
            f"{chosen}; the parts that levels start from come first and stay beside the losses, which alone lose "
            "small parts; objects with a weight of their own",
        )
    weights = (segmenter.feature_weight, segmenter.visual_weight, segmenter.invariance_weight)
    scale = "divided by its own variance" if segmenter.scale_free else "in its own units"
    often = segmenter.invariance_interval
    seldom = f"; Eq. 8 once in {often} steps, times {often}" if often > 1 else ""
    because = f"{chosen}; of Eq. 6, 7 and 8; each consistency {scale}{seldom}"
    yield Decision("loss weights", " ".join(f"{w:g}" for w in weights), because)


def _more_epochs(segmenter: SegmenterPlan, preset: Preset | None) -> str:
    if not segmenter.nested or preset is None:
        return ""
    times = "twice" if preset.nested_epochs == 2 else f"{preset.nested_epochs} times"
    return f"; {times} its epochs, as levels nest"


def _how_long(iterations: int, of_preset: int) -> str:
    if iterations > of_preset:
        return "; longer, to draw as many voxels as the training cases have"
    if iterations < of_preset:
        return f"; {of_preset} would take long without fast bfloat16"
    return ""


def explain_paper(budget: Budget) -> Iterator[Decision]:
    """What the paper leaves out of ours, and what its released code does otherwise."""
    if budget.preset != PAPER:
        return
    because = (
        "the paper tells of none of: rates that change, clipped gradients, averaged weights, mirrored or altered "
        "volumes, parts seeded again"
    )
    yield Decision("recipe", "plain", because)
    yield Decision("kept epoch", KEPT_BY_PAPER, "of all training cases, as in the paper")
    if budget.as_released:
        yield Decision(
            "as in the released code",
            " ".join(budget.as_released),
            "given with --as_released; everything else is as in the paper",
        )


def format_decisions(decisions: Iterable[Decision]) -> str:
    """The decisions in 80 columns: name, value, the reason below it; several configurations get headings."""
    margin = " " * NAME_WIDTH
    lines = []
    decisions = tuple(decisions)
    several = len({decision.configuration for decision in decisions} - {""}) > 1
    heading = ""
    for decision in decisions:
        if several and decision.configuration != heading:
            heading = decision.configuration
            lines += ["", heading, "-" * len(heading)]
        values = textwrap.wrap(decision.value, LINE_WIDTH - NAME_WIDTH) or [""]
        reasons = textwrap.wrap(decision.because, LINE_WIDTH - NAME_WIDTH - 2)
        lines.append(f"{decision.name:<{NAME_WIDTH - 1}} {values[0]}")
        lines += [margin + line for line in values[1:]]
        lines += [f"{margin}  {line}" for line in reasons]
    return "\n".join(lines)
