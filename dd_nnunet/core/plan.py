"""The plan: all that was decided about a dataset, with the reasons. Written once, never changed by code."""

from dataclasses import dataclass
from typing import Literal

from dd_nnunet.core.errors import UserError

SCHEMA_VERSION = 1
Zyx = tuple[int, int, int]


def _check_lengths(name: str, *lengths_zyx: Zyx) -> None:
    for lengths in lengths_zyx:
        if min(lengths) < 1:
            raise ValueError(f"{name} has {list(lengths)}; at least 1")


@dataclass(frozen=True)
class Decision:
    """One choice of the planner, for people; changing it changes nothing else.

    Args:
        name: what was chosen.
        value: what it was set to, in words.
        because: why.
    """

    name: str
    value: str
    because: str


@dataclass(frozen=True)
class ReadingPlan:
    """What raw volumes are allowed, those that are predicted later included; by default nothing odd.

    Args:
        nan: voxels that are NaN or infinite are refused, or become 0, or the median of the channel's others.
        allow_geometry_mismatch: a channel whose origin or direction differs from the first channel's by more
            than 1 % of a voxel is taken as if it lay there, instead of being refused.
    """

    nan: Literal["refuse", "zero", "median"] = "refuse"
    allow_geometry_mismatch: bool = False


STRICT = ReadingPlan()


@dataclass(frozen=True)
class NormalizationPlan:
    """How one channel is brought to [0,1].

    Args:
        scheme: "percentile": the two percentiles of the crop's non-background voxels become 0 and 1, clipped.
        lower_percentile: becomes 0; in [0,100].
        upper_percentile: becomes 1; in [0,100].
    """

    scheme: Literal["percentile"]
    lower_percentile: float
    upper_percentile: float


@dataclass(frozen=True)
class DiffusionPlan:
    """The diffusion U-Net and its pretraining (x0-prediction, L1, cosine schedule).

    Args:
        channels: per resolution, finest first.
        strides_zyx: per down-sampling, finest first; one fewer than `channels`.
        kernel_sizes_zyx: per resolution, finest first.
        n_timesteps: length T of the noise schedule.
        batch_size: volumes per iteration.
        iterations: optimizer steps.
        learning_rate: of Adam.
        ema_decay: of the exponential moving average of the weights.
    """

    channels: tuple[int, ...]
    strides_zyx: tuple[Zyx, ...]
    kernel_sizes_zyx: tuple[Zyx, ...]
    n_timesteps: int
    batch_size: int
    iterations: int
    learning_rate: float
    ema_decay: float

    def __post_init__(self) -> None:
        if not len(self.channels) == len(self.strides_zyx) + 1 == len(self.kernel_sizes_zyx):
            raise ValueError("channels, strides_zyx (one fewer) and kernel_sizes_zyx differ in length")
        _check_lengths("strides_zyx", *self.strides_zyx)
        _check_lengths("kernel_sizes_zyx", *self.kernel_sizes_zyx)

    @property
    def n_stages(self) -> int:
        """Decoder stages, 1 = coarsest … n = full resolution."""
        return len(self.channels)

    def stage_reduction_zyx(self, stage: int) -> Zyx:
        """Voxels per feature cell and axis at a decoder stage."""
        reduction = [1, 1, 1]
        for stride in self.strides_zyx[: self.n_stages - stage]:
            reduction = [r * s for r, s in zip(reduction, stride, strict=True)]
        return (reduction[0], reduction[1], reduction[2])


@dataclass(frozen=True)
class FeaturePlan:
    """What is taken from the frozen diffusion model, once per case.

    Args:
        timesteps: noise levels t at which features are read; their features are averaged.
        n_draws: noise draws averaged per timestep.
        scaling: of each channel before the projection; "standardise" gives it unit variance over the dataset.
        n_components: principal components kept per stage; 0 keeps all channels.
        visual_target: what visual consistency (Eq. 7) compares: the "image" or its "denoised" x0-prediction.
    """

    timesteps: tuple[int, ...]
    n_draws: int
    scaling: Literal["none", "standardise"]
    n_components: int
    visual_target: Literal["image", "denoised"]


@dataclass(frozen=True)
class SegmenterPlan:
    """The segmentation U-Net of a level and its training (Eq. 4–8).

    Args:
        features_per_stage: channels per resolution, finest first.
        strides_zyx: per resolution, finest first; the first is 1, 1, 1.
        kernel_sizes_zyx: per resolution, finest first.
        n_convs_per_stage: convolutions per encoder and decoder stage.
        batch_size: patches per iteration.
        epochs: all epochs, the warm start included.
        iterations_per_epoch: optimizer steps per epoch.
        warm_start_epochs: epochs of cross-entropy on k-means pseudo-labels before the losses.
        learning_rate: of Adam.
        feature_weight: λ_f of Eq. 4.
        visual_weight: λ_v of Eq. 4.
        invariance_weight: λ_inv of Eq. 4.
        scale_free: divide each consistency by the variance of its representation.
        gamma_range: γ of the photometric transformation is uniform in it.
        anchor_weight: of the warm start's pseudo-labels beside the losses; 0 = the losses alone.
    """

    features_per_stage: tuple[int, ...]
    strides_zyx: tuple[Zyx, ...]
    kernel_sizes_zyx: tuple[Zyx, ...]
    n_convs_per_stage: int
    batch_size: int
    epochs: int
    iterations_per_epoch: int
    warm_start_epochs: int
    learning_rate: float
    feature_weight: float
    visual_weight: float
    invariance_weight: float
    scale_free: bool
    gamma_range: tuple[float, float]
    anchor_weight: float = 0.0


@dataclass(frozen=True)
class LevelPlan:
    """One level of the hierarchy.

    Args:
        level: its number, 1 = coarsest.
        n_parts: K, at least 2.
        stages: decoder stages of the diffusion U-Net that feed it, 1 = coarsest.
        children: how many of its parts each part of the level before becomes, in the order of the parts' numbers;
            empty where that is not stated. Training does not use it yet.
    """

    level: int
    n_parts: int
    stages: tuple[int, ...]
    children: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.n_parts < 2:
            raise ValueError(f"n_parts of level {self.level} is {self.n_parts}; at least 2")
        if self.children and (min(self.children) < 1 or sum(self.children) != self.n_parts):
            shown = " ".join(map(str, self.children))
            raise ValueError(
                f"children of level {self.level} are {shown}; each at least 1, together n_parts = {self.n_parts}"
            )


@dataclass(frozen=True)
class ConfigurationPlan:
    """One resolution at which the dataset is prepared and trained.

    Args:
        spacing_zyx_mm: of the prepared volumes.
        median_shape_zyx: of the crops at that spacing.
        patch_size_zyx: voxels of a patch; a multiple of the diffusion U-Net's total stride on every axis.
        normalization: one per channel.
        precision: number format of the networks' activations; weights are float32 in both cases.
        diffusion: the diffusion U-Net and its pretraining.
        features: what is read from the trained diffusion model.
        segmenter: the network of every level and its training.
        levels: in order, coarsest first.
        gpu_memory_target_gb: what a training step may need.
        estimated_gpu_memory_gb: what the hungrier of the two training steps is estimated to need.
        reading: how raw volumes are read.
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

    def __post_init__(self) -> None:
        _check_lengths("patch_size_zyx", self.patch_size_zyx)
        total = self.diffusion.stage_reduction_zyx(1)
        for axis, (patch, divisor) in enumerate(zip(self.patch_size_zyx, total, strict=True)):
            if patch % divisor:
                raise ValueError(f"patch_size_zyx[{axis}] is {patch}; must be a multiple of {divisor}")
        for before, level in zip((None, *self.levels), self.levels, strict=False):
            n_before = before.n_parts if before else 1
            if level.children and len(level.children) != n_before:
                raise ValueError(
                    f"level {level.level} has {len(level.children)} children; "
                    f"one per part before it ({n_before}), or none"
                )
            for stage in level.stages:
                if not 1 <= stage <= self.diffusion.n_stages:
                    raise ValueError(
                        f"level {level.level} uses stage {stage}; stages are 1–{self.diffusion.n_stages}"
                    )

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
        plans_name: name of this plan; prepared data and models are filed under it.
        planner: "default" or "paper".
        preset: how much effort is spent: "fast", "standard" or "paper".
        channel_names: of the dataset, in channel order.
        configurations: resolutions by name.
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

    def configuration(self, name: str) -> ConfigurationPlan:
        """The plan of one configuration.

        Raises:
            UserError: a configuration that is not planned.
        """
        if name not in self.configurations:
            planned = ", ".join(self.configurations)
            raise UserError(f"configuration {name!r}", "is not in the plan", f"planned: {planned}")
        return self.configurations[name]
