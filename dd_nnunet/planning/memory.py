"""How many bytes a training step, or a prediction, needs, from the network's shape alone.

A training step:

    bytes = parameters · 20  +  1.25 · batch · bytes per value · Σ_r voxels_r · channels_r · tensors

`parameters` counts every convolution; each float32 weight brings its gradient, two moments of Adam and its
moving average (5 · 4 bytes). `tensors` is what autograd keeps to go back (the inputs of convolutions,
normalisations and activations, the skips), in units of a resolution's channels; counted with autograd's
saved-tensor hooks on both networks it is 16.3 and 10.0. The factor 1.25 is for workspace and the gradients
on their way.
"""

import math
from dataclasses import dataclass

from dd_nnunet.core.plan import Zyx

BYTES_PER_PARAMETER = 20
WORKSPACE = 1.25
DIFFUSION_TENSORS = 16.5
# n convolutions down and up, each keeps its input and its normalisation's; the joined skip counts twice
SEGMENTER_TENSORS_PER_CONV = 2 * 2
SEGMENTER_SKIP_TENSORS = 2
# the segmenter sees the volume and its photometric twin (Eq. 8)
SEGMENTER_PASSES = 2
# above what was measured on CPUs, float32: 7.4 to 8.6 tensors of each resolution's channels, with 8 of K channels
PREDICTION_TENSORS = 9
PREDICTION_MASKS = 8
GB = 1024**3


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


def diffusion_training_bytes(shape: UNetShape, batch_size: int, bytes_per_value: int) -> float:
    """Peak bytes of one optimizer step of the diffusion U-Net."""
    activations = DIFFUSION_TENSORS * _channel_voxels(shape) * bytes_per_value
    return BYTES_PER_PARAMETER * n_parameters(shape, n_convs=4) + WORKSPACE * batch_size * activations


def segmenter_training_bytes(
    shape: UNetShape, n_convs: int, n_parts: int, batch_size: int, bytes_per_value: int
) -> float:
    """Peak bytes of one optimizer step of a segmenter, both passes of the invariance loss alive."""
    tensors = SEGMENTER_TENSORS_PER_CONV * n_convs + SEGMENTER_SKIP_TENSORS
    # logits, probabilities and their gradients stay in float32
    masks = 4 * 4 * n_parts * math.prod(shape.patch_size_zyx)
    activations = SEGMENTER_PASSES * (tensors * _channel_voxels(shape) * bytes_per_value + masks)
    return BYTES_PER_PARAMETER * n_parameters(shape, n_convs) + WORKSPACE * batch_size * activations


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
