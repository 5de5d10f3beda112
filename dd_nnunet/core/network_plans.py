"""The networks of a plan: the diffusion U-Net, what is read from it, and the segmenter."""

import math
from dataclasses import dataclass
from typing import Literal

Zyx = tuple[int, int, int]
Recipe = Literal["full", "plain"]


def check_lengths(name: str, *lengths_zyx: Zyx) -> None:
    """Refuse lengths below 1.

    Raises:
        ValueError: names the list.
    """
    for lengths in lengths_zyx:
        if min(lengths) < 1:
            raise ValueError(f"{name} has {list(lengths)}; at least 1")


def check_multiple(name: str, lengths_zyx: Zyx, divisors_zyx: Zyx, because: str) -> None:
    """Refuse lengths that cannot be halved as often as the network does.

    Args:
        name: of the list.
        lengths_zyx: at least 1.
        divisors_zyx: what they must be multiples of, at least 1.
        because: where the divisors come from, e.g. "by its strides_zyx".

    Raises:
        ValueError: names the axis, and the nearest lengths that are allowed.
    """
    for axis, (length, divisor) in enumerate(zip(lengths_zyx, divisors_zyx, strict=True)):
        if length % divisor:
            below = length - length % divisor
            nearest = f"{below} and {below + divisor}" if below else f"{divisor}"
            raise ValueError(
                f"{name}[{axis}] is {length}; must be a multiple of {divisor} {because}; nearest: {nearest}"
            )


def check_at_least(record: object, smallest: int, *names: str) -> None:
    """Refuse finite numbers of a record that are below the smallest allowed.

    Raises:
        ValueError: names the field.
    """
    for name in names:
        if not smallest <= (value := getattr(record, name)) < math.inf:
            raise ValueError(f"{name} is {value}; at least {smallest}")


def check_above_0(record: object, *names: str) -> None:
    """Refuse numbers of a record that are not above 0 and finite.

    Raises:
        ValueError: names the field.
    """
    for name in names:
        if not 0 < (value := getattr(record, name)) < math.inf:
            raise ValueError(f"{name} is {value}; must be above 0")


def check_different(name: str, values: tuple[int, ...]) -> None:
    """Refuse a value that stands twice, which would count twice in a mean.

    Raises:
        ValueError: names the list.
    """
    if len(set(values)) < len(values):
        raise ValueError(f"{name} is {list(values)}; each once")


def check_kernels(kernels_zyx: tuple[Zyx, ...]) -> None:
    """Refuse kernels without a middle.

    Raises:
        ValueError: names the resolution.
    """
    check_lengths("kernel_sizes_zyx", *kernels_zyx)
    for resolution, kernel in enumerate(kernels_zyx):
        if not all(length % 2 for length in kernel):
            raise ValueError(f"kernel_sizes_zyx[{resolution}] is {list(kernel)}; must be odd")


def check_channels(name: str, channels: tuple[int, ...]) -> None:
    """Refuse resolutions without channels.

    Raises:
        ValueError: names the list.
    """
    if min(channels, default=0) < 1:
        raise ValueError(f"{name} is {list(channels)}; at least 1 each")


def norm_groups(channels: int) -> int:
    """Into how many groups the diffusion U-Net divides channels to normalise them; must divide their number."""
    return max(channels // 16, 1)


@dataclass(frozen=True)
class DiffusionPlan:
    """The diffusion U-Net and its pretraining (x0-prediction, L1, cosine schedule).

    Args:
        channels: per resolution, finest first; each a multiple of its `norm_groups`.
        strides_zyx: per down-sampling, finest first; one fewer than `channels`.
        kernel_sizes_zyx: per resolution, finest first; odd.
        n_timesteps: length T of the noise schedule; at least 2.
        batch_size: volumes per iteration.
        iterations: optimizer steps.
        learning_rate: of Adam; above 0.
        ema_decay: of the exponential moving average of the weights, in [0,1); 0 = the weights themselves.
        recipe: "full": the rate warms up and falls with a cosine, gradients are clipped, volumes are mirrored;
            "plain": nothing of that.
        grid_zyx: every volume is resized to it (trilinearly) before the network sees it; null = the volumes as they
            are prepared, in patches.
    """

    channels: tuple[int, ...]
    strides_zyx: tuple[Zyx, ...]
    kernel_sizes_zyx: tuple[Zyx, ...]
    n_timesteps: int
    batch_size: int
    iterations: int
    learning_rate: float
    ema_decay: float
    recipe: Recipe = "full"
    grid_zyx: Zyx | None = None

    def __post_init__(self) -> None:
        if not len(self.channels) == len(self.strides_zyx) + 1 == len(self.kernel_sizes_zyx):
            raise ValueError("channels, strides_zyx (one fewer) and kernel_sizes_zyx differ in length")
        check_channels("channels", self.channels)
        for resolution, channels in enumerate(self.channels):
            if channels % (groups := norm_groups(channels)):
                raise ValueError(f"channels[{resolution}] is {channels}; must be a multiple of {groups}")
        check_lengths("strides_zyx", *self.strides_zyx)
        check_kernels(self.kernel_sizes_zyx)
        check_at_least(self, 2, "n_timesteps")
        check_at_least(self, 1, "batch_size", "iterations")
        check_above_0(self, "learning_rate")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay is {self.ema_decay}; at least 0 and below 1")
        if self.grid_zyx is not None:
            check_lengths("grid_zyx", self.grid_zyx)
            check_multiple("grid_zyx", self.grid_zyx, self.stage_reduction_zyx(1), "by strides_zyx")

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
        timesteps: noise levels t at which features are read, at least one, each once, in [0,T); their features are
            averaged.
        n_draws: noise draws averaged per timestep; at least 1.
        scaling: of each channel before the projection; "standardise" gives it unit variance over the dataset,
            "whiten" each component after it too.
        n_components: principal components kept per stage; 0 keeps all channels, and so does a number above that
            of a stage's channels, for that stage.
        visual_target: what visual consistency (Eq. 7) compares: the "image" or its "denoised" x0-prediction.
    """

    timesteps: tuple[int, ...]
    n_draws: int
    scaling: Literal["none", "standardise", "whiten"]
    n_components: int
    visual_target: Literal["image", "denoised"]

    def __post_init__(self) -> None:
        if not self.timesteps:
            raise ValueError("timesteps is empty; at least one")
        check_different("timesteps", self.timesteps)
        check_at_least(self, 1, "n_draws")
        check_at_least(self, 0, "n_components")


@dataclass(frozen=True)
class SegmenterPlan:
    """The segmentation U-Net of a level and its training (Eq. 4–8).

    Args:
        features_per_stage: channels per resolution, finest first.
        strides_zyx: per resolution, finest first; the first is 1, 1, 1.
        kernel_sizes_zyx: per resolution, finest first; odd.
        n_convs_per_stage: convolutions per encoder and decoder stage.
        batch_size: patches per iteration.
        epochs: all epochs, the warm start included.
        iterations_per_epoch: optimizer steps per epoch.
        warm_start_epochs: epochs that copy the starting labels alone (objects or k-means parts; Dice and
            cross-entropy) before the losses; at most `epochs`.
        learning_rate: of Adam; above 0.
        feature_weight: λ_f of Eq. 4; no weight is below 0.
        visual_weight: λ_v of Eq. 4.
        invariance_weight: λ_inv of Eq. 4.
        scale_free: divide each consistency by the variance of its representation.
        gamma_range: γ of the photometric transformation is uniform in it; above 0.
        anchor_weight: of the warm start's pseudo-labels beside the losses, where they are k-means parts; 0 = the
            losses alone.
        recipe: "full": the rate falls with a cosine, gradients are clipped, patches are mirrored and changed
            photometrically, mirrored copies are averaged in prediction, dead parts are seeded again; "plain": nothing
            of that.
        kept_epoch: "alive": the most living parts come first, then the losses before the warm start, then certainty
            (mean largest part probability of up to 16 training cases); "certain": certainty alone, of all of them.
        invariance: the denominator of Eq. 8 sums "squares", or the "masks" themselves.
        feature_grid: where cells stand when features are up-sampled: in the "centres" of the voxels they cover, or
            spread such that the outermost ones stand on the "corners" of the volume.
        inner_multiple: inside the network, patches are resized (nearest neighbour) to the largest multiple of it on
            each axis; 1 = not at all, else a multiple of the product of the strides.
        norm: of the convolutions, over each "instance" or over the "batch".
        dropout: share of channels dropped while training.
        nested: one network for all levels of a configuration, in which each part lies in one of the level before;
            otherwise one network per level, which know nothing of each other.
        invariance_interval: L_inv of Eq. 4 is asked in every so many steps and weighs so many times as much there:
            the same in the mean, and the other steps need no second pass. 1 = in every step.
        own_means: in each predicted case, parts of levels that start from k-means are decided anew by the case's own
            mean intensities, with the network's probabilities as prior.
        smallest_component: in each predicted case, connected components of such parts go to what lies around them if
            they have fewer voxels than this share of the part's largest one; 0 to 1, 0 = all stay.
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
    recipe: Recipe = "full"
    kept_epoch: Literal["alive", "certain"] = "alive"
    invariance: Literal["squares", "masks"] = "squares"
    feature_grid: Literal["centres", "corners"] = "centres"
    inner_multiple: int = 1
    norm: Literal["instance", "batch"] = "instance"
    dropout: float = 0.0
    nested: bool = False
    invariance_interval: int = 1
    own_means: bool = False
    smallest_component: float = 0.0

    def __post_init__(self) -> None:
        self._check_network()
        check_at_least(self, 1, "batch_size", "epochs", "iterations_per_epoch", "invariance_interval")
        check_above_0(self, "learning_rate")
        check_at_least(self, 0, "feature_weight", "visual_weight", "invariance_weight", "anchor_weight")
        if not 0 <= self.smallest_component <= 1:
            raise ValueError(f"smallest_component is {self.smallest_component:g}; 0 to 1")
        if self.anchor_weight and not self.warm_start_epochs:
            raise ValueError(
                f"anchor_weight is {self.anchor_weight:g} without a warm start; 0, or warm_start_epochs from 1"
            )
        if not 0 <= self.warm_start_epochs <= self.epochs:
            raise ValueError(
                f"warm_start_epochs is {self.warm_start_epochs}; at least 0, at most epochs = {self.epochs}"
            )
        low, high = self.gamma_range
        if not 0 < low <= high < math.inf:
            raise ValueError(f"gamma_range is {list(self.gamma_range)}; must be above 0 and not fall")

    def _check_network(self) -> None:
        if not len(self.features_per_stage) == len(self.strides_zyx) == len(self.kernel_sizes_zyx):
            raise ValueError("features_per_stage, strides_zyx and kernel_sizes_zyx differ in length")
        check_channels("features_per_stage", self.features_per_stage)
        check_lengths("strides_zyx", *self.strides_zyx)
        if self.strides_zyx[0] != (1, 1, 1):
            raise ValueError(f"strides_zyx[0] is {list(self.strides_zyx[0])}; the first must be [1, 1, 1]")
        check_kernels(self.kernel_sizes_zyx)
        check_at_least(self, 1, "n_convs_per_stage", "inner_multiple")
        needed = math.lcm(*self._halving_zyx)
        if self.inner_multiple > 1 and self.inner_multiple % needed:
            raise ValueError(
                f"inner_multiple is {self.inner_multiple}; 1, or a multiple of {needed} by strides_zyx"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout:g}; at least 0 and below 1")

    @property
    def total_stride_zyx(self) -> Zyx:
        """What a patch must be a multiple of; anything where the network resizes it."""
        return (1, 1, 1) if self.inner_multiple > 1 else self._halving_zyx

    def coarsest_zyx(self, patch_zyx: Zyx) -> Zyx:
        """Cells of the coarsest resolution that a patch becomes inside the network."""
        z, y, x = (
            max(length // self.inner_multiple, 1) * self.inner_multiple // stride
            for length, stride in zip(patch_zyx, self._halving_zyx, strict=True)
        )
        return (z, y, x)

    @property
    def _halving_zyx(self) -> Zyx:
        z, y, x = (math.prod(stride[axis] for stride in self.strides_zyx) for axis in range(3))
        return (z, y, x)
