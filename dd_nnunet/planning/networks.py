"""The largest networks that the memory allows: patch, channels and batch sizes."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from dd_nnunet.core.errors import UserError
from dd_nnunet.core.plan import Zyx
from dd_nnunet.planning.memory import (
    GB,
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
N_CONVS = 2
# below this a patch shows too little of an object: narrower networks are tried first
SMALL_PATCH_VOXELS = 32**3
CHANNEL_DIVISORS = (1, 2, 4)


@dataclass(frozen=True)
class Networks:
    """What fits.

    Args:
        topology: of the segmenter; the diffusion U-Net takes its finest resolutions.
        diffusion, segmenter: shapes of the two networks.
        diffusion_batch_size, segmenter_batch_size: volumes per iteration.
        channel_divisor: by which the preset's channels were divided.
        full_patch_zyx: the patch before it was shrunk.
        estimated_bytes: of the hungrier of the two training steps.
    """

    topology: Topology
    diffusion: UNetShape
    segmenter: UNetShape
    diffusion_batch_size: int
    segmenter_batch_size: int
    channel_divisor: int
    full_patch_zyx: Zyx
    estimated_bytes: float


@dataclass(frozen=True)
class Task:
    """What the networks are for: resolution, typical volume, channels in, parts out, bytes per activation."""

    spacing_zyx_mm: tuple[float, float, float]
    median_shape_zyx: Zyx
    n_inputs: int
    n_parts: int
    bytes_per_value: int


def plan_networks(task: Task, preset: Preset, budget: Budget) -> Networks:
    """Take the first candidate (largest patch, then widest channels) whose smallest batches fit.

    Raises:
        UserError: not even the smallest networks fit.
    """
    limit = budget.gpu_memory_target_gb * GB
    full = plan_topology(task.spacing_zyx_mm, initial_patch_size(task.spacing_zyx_mm, task.median_shape_zyx))
    needed = math.inf
    for topology, divisor in _candidates(full, task, preset):
        nets = _networks(topology, divisor, task, preset, full.patch_size_zyx)
        needed = nets.estimated_bytes
        if needed <= limit:
            return _grow_batches(nets, task, preset, limit)
    raise UserError(
        "-gpu_memory_target",
        f"{budget.gpu_memory_target_gb:g} GB is too little: the smallest networks need {needed / GB:.2g} GB",
        f"give at least {math.ceil(needed / GB * 100) / 100:g}",
    )


def _candidates(full: Topology, task: Task, preset: Preset) -> Iterator[tuple[Topology, int]]:
    topologies = [full]
    while (patch := shrink_patch(topologies[-1], task.median_shape_zyx)) is not None:
        topologies.append(plan_topology(task.spacing_zyx_mm, patch))
    voxels = [math.prod(t.patch_size_zyx) for t in topologies]
    if preset.max_patch_voxels is not None:
        first = next((i for i, n in enumerate(voxels) if n <= preset.max_patch_voxels), len(voxels) - 1)
        topologies, voxels = topologies[first:], voxels[first:]
    n_large = max(1, sum(n >= SMALL_PATCH_VOXELS for n in voxels))
    for topology in topologies[:n_large]:
        yield topology, 1
    for divisor in CHANNEL_DIVISORS[1:]:
        yield topologies[n_large - 1], divisor
    for topology in topologies[n_large:]:
        yield topology, CHANNEL_DIVISORS[-1]


def _networks(topology: Topology, divisor: int, task: Task, preset: Preset, full_patch_zyx: Zyx) -> Networks:
    n_diffusion = min(MAX_DIFFUSION_RESOLUTIONS, len(topology.kernel_sizes_zyx))
    n_segmenter = len(topology.kernel_sizes_zyx)
    diffusion_width = max(MIN_CHANNELS, preset.diffusion_channels // divisor)
    segmenter_width = max(MIN_CHANNELS, preset.segmenter_channels // divisor)
    diffusion = UNetShape(
        patch_size_zyx=topology.patch_size_zyx,
        channels=tuple(diffusion_width * 2**i for i in range(n_diffusion)),
        strides_zyx=topology.strides_zyx[: n_diffusion - 1],
        kernel_sizes_zyx=topology.kernel_sizes_zyx[:n_diffusion],
        n_inputs=task.n_inputs,
    )
    segmenter = UNetShape(
        patch_size_zyx=topology.patch_size_zyx,
        channels=tuple(min(MAX_SEGMENTER_CHANNELS, segmenter_width * 2**i) for i in range(n_segmenter)),
        strides_zyx=topology.strides_zyx,
        kernel_sizes_zyx=topology.kernel_sizes_zyx,
        n_inputs=task.n_inputs,
    )
    diffusion_batch = min(MIN_BATCH_SIZE, preset.diffusion_batch_size)
    segmenter_batch = min(MIN_BATCH_SIZE, preset.segmenter_batch_size)
    needed = max(
        _diffusion_bytes(diffusion, diffusion_batch, task), _segmenter_bytes(segmenter, segmenter_batch, task)
    )
    return Networks(
        topology, diffusion, segmenter, diffusion_batch, segmenter_batch, divisor, full_patch_zyx, needed
    )


def _grow_batches(nets: Networks, task: Task, preset: Preset, limit: float) -> Networks:
    diffusion_bytes = [
        _diffusion_bytes(nets.diffusion, n + 1, task) for n in range(preset.diffusion_batch_size)
    ]
    segmenter_bytes = [
        _segmenter_bytes(nets.segmenter, n + 1, task) for n in range(preset.segmenter_batch_size)
    ]
    n_diffusion = sum(needed <= limit for needed in diffusion_bytes)
    n_segmenter = sum(needed <= limit for needed in segmenter_bytes)
    return replace(
        nets,
        diffusion_batch_size=n_diffusion,
        segmenter_batch_size=n_segmenter,
        estimated_bytes=max(diffusion_bytes[n_diffusion - 1], segmenter_bytes[n_segmenter - 1]),
    )


def _diffusion_bytes(shape: UNetShape, batch_size: int, task: Task) -> float:
    return diffusion_training_bytes(shape, batch_size, task.bytes_per_value)


def _segmenter_bytes(shape: UNetShape, batch_size: int, task: Task) -> float:
    return segmenter_training_bytes(shape, N_CONVS, task.n_parts, batch_size, task.bytes_per_value)
