"""Part probabilities of a volume of any size: overlapping patches, Gaussian weights, mirrored copies."""

from itertools import chain, combinations

import numpy as np
import torch
from torch import Tensor, nn

from dd_nnunet.core.case import FloatArray
from dd_nnunet.core.plan import Zyx
from dd_nnunet.core.tiling import gaussian_window, iterate_tiles
from dd_nnunet.networks.device import Runtime

SPATIAL_AXES = (2, 3, 4)


def mirror_combinations(mirror: bool) -> tuple[tuple[int, ...], ...]:
    """Axes of [B,C,Z,Y,X] to flip: none, or all eight combinations."""
    if not mirror:
        return ((),)
    return tuple(chain.from_iterable(combinations(SPATIAL_AXES, n) for n in range(4)))


@torch.inference_mode()
def predict_probabilities(
    network: nn.Module, image: FloatArray, patch_zyx: Zyx, runtime: Runtime, step_size: float, mirror: bool
) -> FloatArray:
    """Softmax probabilities, averaged over overlapping patches and mirrored copies.

    Args:
        network: [B,C,Z,Y,X] -> logits [B,K,Z,Y,X], in eval mode on the runtime's device.
        image: [C,Z,Y,X] in [0,1], at least as large as the patch.
        patch_zyx: shape of a patch.
        runtime: device and number format.
        step_size: largest step between patches as a share of the patch, in (0,1].
        mirror: average over all eight mirrored copies.

    Returns:
        [K,Z,Y,X] float32, summing to 1 over K.

    Source: nnU-Net's sliding window.
    """
    shape: Zyx = (image.shape[1], image.shape[2], image.shape[3])
    volume = torch.from_numpy(np.ascontiguousarray(image))[None]
    window = torch.from_numpy(gaussian_window(patch_zyx))
    weights = torch.zeros(shape)
    total: Tensor | None = None
    for start in iterate_tiles(shape, patch_zyx, step_size):
        box = tuple(slice(s, s + p) for s, p in zip(start, patch_zyx, strict=True))
        mean = _mean_over_mirrors(network, volume[(slice(None), slice(None), *box)], runtime, mirror)
        if total is None:
            total = torch.zeros(len(mean), *shape)
        total[(slice(None), *box)] += mean * window
        weights[box] += window
    assert total is not None, "a volume has at least one tile"
    return (total / weights).numpy()


def _mean_over_mirrors(network: nn.Module, patch: Tensor, runtime: Runtime, mirror: bool) -> Tensor:
    flips = mirror_combinations(mirror)
    total: Tensor | None = None
    for axes in flips:
        placed = runtime.place(patch.flip(axes) if axes else patch)
        with runtime.autocast():
            logits = network(placed)
        masks = logits.float().softmax(dim=1)
        masks = masks.flip(axes) if axes else masks
        total = masks if total is None else total + masks
    assert total is not None
    return (total[0] / len(flips)).cpu()
