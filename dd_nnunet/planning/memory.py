"""How many bytes a training step, or a prediction, needs, from the network's shape alone.

A training step:

    bytes = parameters · p  +  w · batch · bytes per value · Σ_r voxels_r · channels_r · tensors

`parameters` counts every convolution. Each float32 weight brings its gradient and two moments of Adam
(p = 4 · 4 bytes), the diffusion model's also a moving average (5 · 4); autocast keeps a bfloat16 copy of the weights
and makes gradients of the same size (4 bytes more). `tensors` is what autograd keeps to go back (the inputs of
convolutions, normalisations and activations, the skips), in units of a resolution's channels; counted with
autograd's saved-tensor hooks on both networks it is 16.3 and 10.0. The factor w, for workspace and the gradients on
their way, is 1.25 for the diffusion model and 1.15 for the segmenter: fitted once to the peaks of
`benchmarks/memory_model.py`, whose table shows how far the estimate is off.
"""

import math
from dataclasses import dataclass

from dd_nnunet.core.plan import ConfigurationPlan, Zyx

BYTES_PER_PARAMETER = 16
MOVING_AVERAGE_BYTES = 4
AUTOCAST_BYTES = 4
BFLOAT16_BYTES = 2
DIFFUSION_WORKSPACE = 1.25
SEGMENTER_WORKSPACE = 1.15
DIFFUSION_TENSORS = 16.5
# n convolutions down and up, each keeps its input and its normalisation's; the joined skip counts twice
SEGMENTER_TENSORS_PER_CONV = 2 * 2
SEGMENTER_SKIP_TENSORS = 2
# float32 tensors of K channels: logits, probabilities and their gradients; of levels that nest also logarithms,
# shares among siblings and the parents' masks
MASKS = 4
NESTED_MASKS = 7
# the segmenter sees the volume and its photometric twin (Eq. 8)
SEGMENTER_PASSES = 2
# above what was measured on CPUs, float32: 7.4 to 8.6 tensors of each resolution's channels, with 8 of K channels
PREDICTION_TENSORS = 9
PREDICTION_MASKS = 8


@dataclass(frozen=True)
class UNetShape:
    """What memory depends on.

    Args:
        patch_size_zyx: voxels of one sample.
        channels: per resolution, finest first.
        strides_zyx: per down-sampling, one fewer than channels.
        kernel_sizes_zyx: per resolution.
        n_inputs: channels of the volume.
    """

    patch_size_zyx: Zyx
    channels: tuple[int, ...]
    strides_zyx: tuple[Zyx, ...]
    kernel_sizes_zyx: tuple[Zyx, ...]
    n_inputs: int


def training_bytes(configuration: ConfigurationPlan, bytes_per_value: int) -> float:
    """Peak bytes of the hungrier of a configuration's two training steps, by its values as they stand.

    Args:
        configuration: of a plan.
        bytes_per_value: of an activation: 2 in bfloat16, 4 in float32.
    """
    diffusion, segmenter = configuration.diffusion, configuration.segmenter
    n_inputs = len(configuration.normalization)
    first = UNetShape(
        configuration.diffusion_patch_zyx,
        diffusion.channels,
        diffusion.strides_zyx,
        diffusion.kernel_sizes_zyx,
        n_inputs,
    )
    second = UNetShape(
        configuration.patch_size_zyx,
        segmenter.features_per_stage,
        segmenter.strides_zyx[1:],
        segmenter.kernel_sizes_zyx,
        n_inputs,
    )
    # a network of several levels gives the parts of all
    n_parts = max(sum(level.n_parts for level in group.levels) for group in configuration.groups)
    nested = any(group.nested for group in configuration.groups)
    n_convs, batch_size = segmenter.n_convs_per_stage, segmenter.batch_size
    return max(
        diffusion_training_bytes(first, diffusion.batch_size, bytes_per_value),
        segmenter_training_bytes(second, n_convs, n_parts, batch_size, bytes_per_value, nested),
    )


def diffusion_training_bytes(shape: UNetShape, batch_size: int, bytes_per_value: int) -> float:
    """Peak bytes of one optimizer step of the diffusion U-Net."""
    activations = DIFFUSION_TENSORS * _channel_voxels(shape) * bytes_per_value
    weights = (_bytes_per_parameter(bytes_per_value) + MOVING_AVERAGE_BYTES) * n_parameters(shape, n_convs=4)
    return weights + DIFFUSION_WORKSPACE * batch_size * activations


def segmenter_training_bytes(
    shape: UNetShape, n_convs: int, n_parts: int, batch_size: int, bytes_per_value: int, nested: bool = False
) -> float:
    """Peak bytes of one optimizer step of a segmenter, both passes of the invariance loss alive."""
    tensors = SEGMENTER_TENSORS_PER_CONV * n_convs + SEGMENTER_SKIP_TENSORS
    masks = 4 * (NESTED_MASKS if nested else MASKS) * n_parts * math.prod(shape.patch_size_zyx)
    activations = SEGMENTER_PASSES * (tensors * _channel_voxels(shape) * bytes_per_value + masks)
    weights = _bytes_per_parameter(bytes_per_value) * n_parameters(shape, n_convs)
    return weights + SEGMENTER_WORKSPACE * batch_size * activations


def _bytes_per_parameter(bytes_per_value: int) -> int:
    return BYTES_PER_PARAMETER + (AUTOCAST_BYTES if bytes_per_value == BFLOAT16_BYTES else 0)


def segmenter_prediction_bytes(shape: UNetShape, n_parts: int) -> float:
    """Peak bytes of predicting one patch with a segmenter, without its weights."""
    masks = PREDICTION_MASKS * n_parts * math.prod(shape.patch_size_zyx)
    return 4 * (PREDICTION_TENSORS * _channel_voxels(shape) + masks)


def n_parameters(shape: UNetShape, n_convs: int) -> int:
    """Weights of a U-Net with `n_convs` convolutions per resolution down and as many up."""
    total = 0
    before = shape.n_inputs
    for level, (channels, kernel) in enumerate(zip(shape.channels, shape.kernel_sizes_zyx, strict=True)):
        cells = math.prod(kernel)
        total += cells * channels * (before + (n_convs - 1) * channels)
        if level < len(shape.channels) - 1:
            below = shape.channels[level + 1]
            total += cells * channels * (2 * channels + (n_convs - 1) * channels)
            total += math.prod(shape.strides_zyx[level]) * below * channels
        before = channels
    return total


def _channel_voxels(shape: UNetShape) -> float:
    voxels = float(math.prod(shape.patch_size_zyx))
    total = voxels * shape.channels[0]
    for channels, stride in zip(shape.channels[1:], shape.strides_zyx, strict=True):
        voxels /= math.prod(stride)
        total += voxels * channels
    return total
