"""The largest networks that the memory allows: patch, channels and batch sizes."""

import math
from dataclasses import dataclass, replace

from dd_nnunet.core.errors import UserError
from dd_nnunet.core.plan import Zyx
from dd_nnunet.core.units import GB
from dd_nnunet.planning.memory import (
    UNetShape,
    diffusion_training_bytes,
    segmenter_training_bytes,
)
from dd_nnunet.planning.presets import Budget, Preset
from dd_nnunet.planning.topology import Topology, initial_patch_size, plan_topology, shrink_patch

MAX_DIFFUSION_RESOLUTIONS = 4
MAX_SEGMENTER_CHANNELS = 320
MIN_CHANNELS = 8
MIN_BATCH_SIZE = 2
# torch computes convolutions of a single float32 volume on the CPU in a way that takes up to six times as long
MIN_FLOAT32_BATCH_SIZE = 2
N_CONVS = 2
KERNEL: Zyx = (3, 3, 3)
# of the segmenter in the paper's released code, whose patch is resized to a multiple of 16
RELEASED_CHANNELS = (8, 16, 16, 32, 32, 64, 64)
RELEASED_STRIDES = (2, 1, 2, 1, 2, 1)
RELEASED_CONVS = 1
RELEASED_MULTIPLE = 16
RELEASED_DROPOUT = 0.2
# below this a patch shows too little of an object: narrower networks are tried first
SMALL_PATCH_VOXELS = 32**3
CHANNEL_DIVISORS = (1, 2, 4)
BYTES_OF_BFLOAT16 = 2


@dataclass(frozen=True)
class Networks:
    """What fits.

    Args:
        topology: of the segmenter; the diffusion U-Net takes its finest resolutions.
        diffusion, segmenter: shapes of the two networks.
        diffusion_batch_size, segmenter_batch_size: volumes per iteration.
        channel_divisor: by which the preset's channels were divided.
        full_patch_zyx: the patch before it was shrunk.
        preset_patch_zyx: the patch within the preset's bound, before memory shrank it.
        estimated_bytes: of the hungrier of the two training steps.
        segmenter_convs: convolutions per resolution, down and up.
    """

    topology: Topology
    diffusion: UNetShape
    segmenter: UNetShape
    diffusion_batch_size: int
    segmenter_batch_size: int
    channel_divisor: int
    full_patch_zyx: Zyx
    preset_patch_zyx: Zyx
    estimated_bytes: float
    segmenter_convs: int = N_CONVS


@dataclass(frozen=True)
class Task:
    """What the networks are for.

    Args:
        spacing_zyx_mm, median_shape_zyx: resolution and typical volume.
        n_inputs, n_parts: channels in, and parts out, of all levels together where they nest.
        bytes_per_value: of an activation.
        nested: the parts are of several levels in one network.
    """

    spacing_zyx_mm: tuple[float, float, float]
    median_shape_zyx: Zyx
    n_inputs: int
    n_parts: int
    bytes_per_value: int
    nested: bool = False

    @property
    def is_float32(self) -> bool:
        """Whether activations are float32, which is to say that the machine is not fast at bfloat16."""
        return self.bytes_per_value > BYTES_OF_BFLOAT16


def plan_networks(task: Task, preset: Preset, budget: Budget) -> Networks:
    """Take the first candidate (largest patch, then widest channels) whose smallest batches fit.

    Raises:
        UserError: not even the smallest networks fit.
    """
    limit = budget.gpu_memory_target_gb * GB
    wished = initial_patch_size(task.spacing_zyx_mm, task.median_shape_zyx)
    full = plan_topology(task.spacing_zyx_mm, wished)
    if preset.any_patch:
        full = replace(full, patch_size_zyx=wished)
    candidates = _candidates(full, task, preset)
    preset_patch = candidates[0][0].patch_size_zyx
    needed = math.inf
    for topology, divisor in candidates:
        nets = _networks(topology, divisor, task, preset)
        needed = _bytes(nets, task)
        if needed <= limit:
            nets = _grow_batches(nets, task, preset, limit)
            return replace(nets, full_patch_zyx=full.patch_size_zyx, preset_patch_zyx=preset_patch)
    raise UserError(
        "-gpu_memory_target",
        f"{budget.gpu_memory_target_gb:g} GB is too little: the smallest networks need {needed / GB:.2g} GB",
        f"give at least {math.ceil(needed / GB * 100) / 100:g}",
    )


def fits_whole(task: Task, preset: Preset, budget: Budget) -> bool:
    """Whether one patch of the preset's widest networks holds the median shape within the memory."""
    if initial_patch_size(task.spacing_zyx_mm, task.median_shape_zyx) != task.median_shape_zyx:
        return False
    topology = plan_topology(task.spacing_zyx_mm, task.median_shape_zyx)
    bound = preset.patch_bound(task.is_float32)
    if bound is not None and math.prod(topology.patch_size_zyx) > bound:
        return False
    return _bytes(_networks(topology, 1, task, preset), task) <= budget.gpu_memory_target_gb * GB


def _candidates(full: Topology, task: Task, preset: Preset) -> list[tuple[Topology, int]]:
    """Topologies with the divisor of their channels, best first."""
    topologies = [full]
    while (patch := shrink_patch(topologies[-1], task.median_shape_zyx)) is not None:
        topologies.append(plan_topology(task.spacing_zyx_mm, patch))
    voxels = [math.prod(t.patch_size_zyx) for t in topologies]
    bound = preset.patch_bound(task.is_float32)
    if bound is not None:
        first = next((i for i, n in enumerate(voxels) if n <= bound), len(voxels) - 1)
        topologies, voxels = topologies[first:], voxels[first:]
    n_large = max(1, sum(n >= SMALL_PATCH_VOXELS for n in voxels))
    wide = [(topology, 1) for topology in topologies[:n_large]]
    narrow = [(topologies[n_large - 1], divisor) for divisor in CHANNEL_DIVISORS[1:]]
    small = [(topology, CHANNEL_DIVISORS[-1]) for topology in topologies[n_large:]]
    return wide + narrow + small


def _networks(topology: Topology, divisor: int, task: Task, preset: Preset) -> Networks:
    n_resolutions = len(topology.kernel_sizes_zyx)
    # the diffusion U-Net of a grid of its own: cells are its unit, not millimetres
    grid = preset.diffusion_grid_zyx
    seen = topology if grid is None else plan_topology((1.0, 1.0, 1.0), grid)
    diffusion_width = max(MIN_CHANNELS, preset.diffusion_channels // divisor)
    segmenter_width = max(MIN_CHANNELS, preset.segmenter_channels // divisor)
    n_diffusion = min(MAX_DIFFUSION_RESOLUTIONS, len(seen.kernel_sizes_zyx))
    diffusion_channels = tuple(diffusion_width * 2**i for i in range(n_diffusion))
    segmenter_channels = tuple(
        min(MAX_SEGMENTER_CHANNELS, segmenter_width * 2**i) for i in range(n_resolutions)
    )
    return Networks(
        topology=topology,
        diffusion=_unet(seen, diffusion_channels, task),
        segmenter=(
            _released_segmenter(topology, task)
            if preset.released_segmenter
            else _unet(topology, segmenter_channels, task)
        ),
        diffusion_batch_size=min(
            MIN_BATCH_SIZE, largest_batch(topology, preset.diffusion_batch_size, task, preset)
        ),
        segmenter_batch_size=min(
            MIN_BATCH_SIZE, largest_batch(topology, preset.segmenter_batch_size, task, preset)
        ),
        channel_divisor=divisor,
        full_patch_zyx=topology.patch_size_zyx,
        preset_patch_zyx=topology.patch_size_zyx,
        estimated_bytes=0.0,
        segmenter_convs=RELEASED_CONVS if preset.released_segmenter else N_CONVS,
    )


def _released_segmenter(topology: Topology, task: Task) -> UNetShape:
    """Every stride, and every kernel, is the same on all axes, whatever the spacing."""
    return UNetShape(
        patch_size_zyx=topology.patch_size_zyx,
        channels=RELEASED_CHANNELS,
        strides_zyx=tuple((stride, stride, stride) for stride in RELEASED_STRIDES),
        kernel_sizes_zyx=(KERNEL,) * len(RELEASED_CHANNELS),
        n_inputs=task.n_inputs,
    )


def largest_batch(topology: Topology, wanted: int, task: Task, preset: Preset) -> int:
    """Volumes per iteration: as many fewer of larger patches as `batch_in_time` says, no single one in float32."""
    fewest = min(wanted, MIN_FLOAT32_BATCH_SIZE if task.is_float32 else 1)
    return max(fewest, batch_in_time(topology, wanted, preset))


def batch_in_time(topology: Topology, wanted: int, preset: Preset) -> int:
    """Volumes per iteration that the preset's time allows: fewer of larger patches, perhaps none."""
    if preset.one_volume_voxels is None:
        return wanted
    return min(wanted, wanted * preset.one_volume_voxels // math.prod(topology.patch_size_zyx))


def _unet(topology: Topology, channels: tuple[int, ...], task: Task) -> UNetShape:
    return UNetShape(
        patch_size_zyx=topology.patch_size_zyx,
        channels=channels,
        strides_zyx=topology.strides_zyx[: len(channels) - 1],
        kernel_sizes_zyx=topology.kernel_sizes_zyx[: len(channels)],
        n_inputs=task.n_inputs,
    )


def _grow_batches(nets: Networks, task: Task, preset: Preset, limit: float) -> Networks:
    while nets.diffusion_batch_size < largest_batch(nets.topology, preset.diffusion_batch_size, task, preset):
        larger = replace(nets, diffusion_batch_size=nets.diffusion_batch_size + 1)
        if _bytes(larger, task) > limit:
            break
        nets = larger
    while nets.segmenter_batch_size < largest_batch(nets.topology, preset.segmenter_batch_size, task, preset):
        larger = replace(nets, segmenter_batch_size=nets.segmenter_batch_size + 1)
        if _bytes(larger, task) > limit:
            break
        nets = larger
    return replace(nets, estimated_bytes=_bytes(nets, task))


def _bytes(nets: Networks, task: Task) -> float:
    """Of the hungrier of the two training steps; they never run at once."""
    diffusion = diffusion_training_bytes(nets.diffusion, nets.diffusion_batch_size, task.bytes_per_value)
    segmenter = segmenter_training_bytes(
        nets.segmenter,
        nets.segmenter_convs,
        task.n_parts,
        nets.segmenter_batch_size,
        task.bytes_per_value,
        task.nested,
    )
    return max(diffusion, segmenter)
