"""How much effort is spent: the table of presets. These values are tuned; everything else is derived."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from dd_nnunet.core.errors import UserError
from dd_nnunet.core.plan import Zyx
from dd_nnunet.core.plan_names import DEFAULT_PLANS, DEFAULT_PRESET, PresetName
from dd_nnunet.core.units import MOST_PARTS


@dataclass(frozen=True)
class Preset:
    """One column of the table.

    Args:
        because: what it is for, told with the plan.
        max_patch_voxels: a bound on computing time, beside the bound on memory; None = memory only.
        float32_patch_voxels: the bound where the machine is not fast at bfloat16; None = the same.
        one_volume_voxels: batches of larger patches hold as many fewer volumes, at least one; None = no bound.
        float32_diffusion_voxels: of all batches of pretraining together, where the machine is not fast at bfloat16;
            None = no bound.
        float32_segmenter_voxels: the same of a network of levels.
        timesteps: read for features; None = from the measured noise.
        segmenter_iterations: per epoch; None = one pass over the training cases.
        invariance_interval: Eq. 8 is asked in every so many steps, and weighed so many times.
        max_stretch: both trainings take so many times as long at most, to draw as many voxels as the data has.
        objects: the first levels may start from objects within objects; else all start from k-means.
        object_anchor_weight: of those parts beside the losses.
        own_means: levels that start from k-means are decided anew in each predicted case, by its own means.
        nested: one network for all levels of a configuration; else one per level.
        nested_epochs: where it has several levels, it is trained for so many times the epochs.
        low_resolution: coarse levels of volumes far larger than a patch get a configuration of their own.
        recipe: "plain" leaves out of both trainings what the paper does not tell of.
        kept_epoch: living parts first, or certainty alone.
        min_max: the smallest and the largest voxel become 0 and 1, instead of percentiles.
        crop: volumes to the box of their foreground.
        stage_is_level: level l is fed by decoder stage l, instead of the stage whose cells fit its objects.
        diffusion_grid_zyx: every volume is resized to it for the diffusion U-Net; None = never.
        feature_grid: where cells stand when features are up-sampled.
        invariance: the denominator of Eq. 8.
        released_segmenter: the segmenter of the released code instead of ours.
    """

    because: str
    max_patch_voxels: int | None
    float32_patch_voxels: int | None
    one_volume_voxels: int | None
    diffusion_channels: int
    diffusion_batch_size: int
    diffusion_iterations: int
    diffusion_learning_rate: float
    ema_decay: float
    timesteps: tuple[int, ...] | None
    n_draws: int
    scaling: Literal["none", "standardise", "whiten"]
    n_components: int
    visual_target: Literal["image", "denoised"]
    segmenter_channels: int
    segmenter_batch_size: int
    segmenter_epochs: int
    segmenter_iterations: int | None
    warm_start_epochs: int
    segmenter_learning_rate: float
    scale_free: bool
    anchor_weight: float
    feature_weight: float = 1.0
    visual_weight: float = 1.0
    invariance_weight: float = 1.0
    invariance_interval: int = 4
    gamma_range: tuple[float, float] = (0.9, 1.1)
    max_stretch: int = 1
    objects: bool = True
    object_anchor_weight: float = 10.0
    own_means: bool = True
    nested: bool = True
    nested_epochs: int = 2
    low_resolution: bool = True
    recipe: Literal["full", "plain"] = "full"
    kept_epoch: Literal["alive", "certain"] = "alive"
    min_max: bool = False
    crop: bool = True
    stage_is_level: bool = False
    diffusion_grid_zyx: Zyx | None = None
    feature_grid: Literal["centres", "corners"] = "centres"
    invariance: Literal["squares", "masks"] = "squares"
    released_segmenter: bool = False
    float32_diffusion_voxels: int | None = None
    float32_segmenter_voxels: int | None = None

    def patch_bound(self, is_float32: bool) -> int | None:
        """The largest patch in voxels, but for memory; None = no bound.

        Args:
            is_float32: the machine is not fast at bfloat16.
        """
        return (
            self.float32_patch_voxels if is_float32 and self.float32_patch_voxels else self.max_patch_voxels
        )

    @property
    def any_patch(self) -> bool:
        """Whether both networks resize what they are given, so that a patch need be no multiple of anything."""
        return self.diffusion_grid_zyx is not None and self.released_segmenter


PRESETS = MappingProxyType(
    {
        "fast": Preset(
            because="minutes on a laptop's CPU",
            max_patch_voxels=64**3,
            float32_patch_voxels=48 * 40 * 40,
            one_volume_voxels=32**3,
            diffusion_channels=16,
            diffusion_batch_size=4,
            diffusion_iterations=1500,
            diffusion_learning_rate=3e-4,
            ema_decay=0.995,
            timesteps=None,
            n_draws=4,
            scaling="standardise",
            n_components=32,
            visual_target="denoised",
            segmenter_channels=16,
            segmenter_batch_size=2,
            segmenter_epochs=8,
            segmenter_iterations=50,
            warm_start_epochs=3,
            segmenter_learning_rate=3e-3,
            scale_free=True,
            anchor_weight=1.0,
            float32_diffusion_voxels=150_000_000,
            float32_segmenter_voxels=90_000_000,
        ),
        "standard": Preset(
            because="hours on one GPU",
            max_patch_voxels=None,
            float32_patch_voxels=None,
            one_volume_voxels=None,
            diffusion_channels=32,
            diffusion_batch_size=4,
            diffusion_iterations=20_000,
            diffusion_learning_rate=2e-4,
            max_stretch=4,
            ema_decay=0.9995,
            timesteps=None,
            n_draws=4,
            scaling="standardise",
            n_components=32,
            visual_target="denoised",
            segmenter_channels=32,
            segmenter_batch_size=2,
            segmenter_epochs=50,
            segmenter_iterations=100,
            warm_start_epochs=5,
            segmenter_learning_rate=3e-4,
            scale_free=True,
            anchor_weight=1.0,
        ),
        "paper": Preset(
            because="the settings of arXiv 2305.00067",
            max_patch_voxels=None,
            float32_patch_voxels=None,
            one_volume_voxels=None,
            diffusion_channels=64,
            diffusion_batch_size=4,
            diffusion_iterations=50_000,
            diffusion_learning_rate=1e-4,
            ema_decay=0.0,
            timesteps=(25,),
            n_draws=1,
            scaling="none",
            n_components=0,
            visual_target="image",
            segmenter_channels=32,
            segmenter_batch_size=2,
            segmenter_epochs=100,
            segmenter_iterations=None,
            warm_start_epochs=0,
            segmenter_learning_rate=3e-4,
            scale_free=False,
            anchor_weight=0.0,
            objects=False,
            own_means=False,
            nested=False,
            low_resolution=False,
            recipe="plain",
            kept_epoch="certain",
            min_max=True,
            crop=False,
            stage_is_level=True,
            invariance_interval=1,
        ),
    }
)
PAPER = "paper"
# what the authors' released code does otherwise than the paper: --as_released, each on its own
DEPARTURES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "resize64": {"diffusion_grid_zyx": (64, 64, 64)},
        "sampling_grids": {"feature_grid": "corners"},
        "no_squares": {"invariance": "masks"},
        "small_segmenter": {"released_segmenter": True},
    }
)


@dataclass(frozen=True)
class Budget:
    """What the user and the machine allow; an argument of the planner, not part of a plan.

    Args:
        gpu_memory_target_gb: bytes of a training step stay below it (RAM where there is no GPU).
        preset: a key of `PRESETS`.
        parts: K per level, level 1 first; None = from dataset.json, else planned.
        target_spacing_zyx_mm: overrules the planned spacing.
        fast_bf16: this machine computes bfloat16 fast.
        plans_name: name of the plans file.
        hardware: named in the reason of the precision.
        stages: decoder stage per level, level 1 first; None = planned.
        as_released: keys of `DEPARTURES`; with preset "paper" only.
    """

    gpu_memory_target_gb: float = 8.0
    preset: PresetName = DEFAULT_PRESET
    parts: tuple[int, ...] | None = None
    target_spacing_zyx_mm: tuple[float, float, float] | None = None
    fast_bf16: bool = False
    plans_name: str = DEFAULT_PLANS
    hardware: str = "this machine"
    stages: tuple[int, ...] | None = None
    as_released: tuple[str, ...] = ()

    @property
    def effort(self) -> Preset:
        """The preset, as the released code departs from it where that is wished."""
        changes = {key: value for name in self.as_released for key, value in DEPARTURES[name].items()}
        return replace(PRESETS[self.preset], **changes)

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UserError(
                f"preset {self.preset!r}", "does not exist", f"choose one of: {', '.join(PRESETS)}"
            )
        if self.gpu_memory_target_gb <= 0:
            raise UserError("-gpu_memory_target", f"is {self.gpu_memory_target_gb:g} GB", "give more than 0")
        if self.parts is not None and not (
            self.parts and 2 <= min(self.parts) <= max(self.parts) <= MOST_PARTS
        ):
            wanted = f"give a whole number from 2 to {MOST_PARTS} for every level"
            raise UserError("--parts", f"is {' '.join(map(str, self.parts))}", wanted)
        if self.parts is not None and list(self.parts) != sorted(self.parts):
            shown = " ".join(map(str, self.parts))
            raise UserError("--parts", f"{shown} get fewer with depth", "a level refines the one before it")
        if self.target_spacing_zyx_mm is not None and min(self.target_spacing_zyx_mm) <= 0:
            raise UserError("-overwrite_target_spacing", "has an axis of 0 mm or less", "give three mm > 0")
        unknown = [name for name in self.as_released if name not in DEPARTURES]
        if unknown:
            raise UserError(
                "--as_released", f"{unknown[0]!r} does not exist", f"choose of: {', '.join(DEPARTURES)}"
            )
        if self.as_released and self.preset != PAPER:
            raise UserError("--as_released", f"is no part of preset {self.preset}", "give -pl paper with it")
