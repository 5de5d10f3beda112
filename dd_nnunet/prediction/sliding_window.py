"""Part probabilities of a volume of any size: overlapping patches, Gaussian weights, mirrored copies."""

from collections.abc import Iterator, Sequence
from itertools import chain, combinations, pairwise

import numpy as np
import torch
from torch import Tensor, nn

from dd_nnunet.core.case import FloatArray
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.plan import Zyx
from dd_nnunet.core.tiling import gaussian_window, iterate_tiles, tile_starts
from dd_nnunet.networks.device import Runtime

SPATIAL_AXES = (2, 3, 4)


def mirror_combinations(mirror: bool) -> tuple[tuple[int, ...], ...]:
    """Axes of [B,C,Z,Y,X] to flip: none, or all eight combinations."""
    if not mirror:
        return ((),)
    return tuple(chain.from_iterable(combinations(SPATIAL_AXES, n) for n in range(4)))


@torch.inference_mode()
def predict_slices(
    network: nn.Module,
    image: FloatArray,
    patch_zyx: Zyx,
    runtime: Runtime,
    step_size: float,
    mirror: bool,
    levels: Sequence[slice] = (slice(None),),
) -> Iterator[FloatArray]:
    """Softmax probabilities, averaged over overlapping patches and mirrored copies, slice by slice along Z.

    A slice is handed out when no later patch touches it, so that sums are held for as many slices as a patch
    has, however many the volume has.

    Args:
        network: [B,C,Z,Y,X] -> logits [B,K,Z,Y,X], in eval mode on the runtime's device.
        image: [C,Z,Y,X] in [0,1], at least as large as the patch.
        patch_zyx: shape of a patch.
        runtime: device and number format.
        step_size: largest step between patches as a share of the patch, in (0,1].
        mirror: average over all eight mirrored copies.
        levels: which of the K parts compete with each other, where they are those of several levels.

    Yields:
        [K,Y,X] float32, summing to 1 over the parts of a level, for every slice of the image.

    Raises:
        UserError: the device has not enough memory for a patch.

    Source: nnU-Net's sliding window.
    """
    depth, height, width = image.shape[1:]
    row: Zyx = (patch_zyx[0], height, width)
    volume = torch.from_numpy(np.ascontiguousarray(image))[None]
    window = torch.from_numpy(gaussian_window(patch_zyx))
    weights = torch.zeros(row)
    total: Tensor | None = None
    for first, following in pairwise((*tile_starts(depth, patch_zyx[0], step_size), depth)):
        for start in iterate_tiles(row, patch_zyx, step_size):
            box = tuple(slice(s, s + p) for s, p in zip(start, patch_zyx, strict=True))
            patch = volume[:, :, first : first + patch_zyx[0], box[1], box[2]]
            mean = _mean_over_mirrors(network, patch, runtime, mirror, levels)
            if total is None:
                total = torch.zeros(len(mean), *row)
            total[(slice(None), *box)] += mean * window
            weights[box] += window
        assert total is not None, "a row has at least one tile"
        n_finished = following - first
        for index in range(n_finished):
            yield (total[:, index] / weights[index]).numpy()
        _move_up(total, n_finished)
        _move_up(weights[None], n_finished)


def _move_up(sums: Tensor, n_slices: int) -> None:
    """Let go of the first slices of [K,z,Y,X] and make room for as many empty ones behind, in place."""
    n_kept = sums.shape[1] - n_slices
    for index in range(n_kept):
        sums[:, index] = sums[:, index + n_slices]
    sums[:, n_kept:] = 0


def _mean_over_mirrors(
    network: nn.Module, patch: Tensor, runtime: Runtime, mirror: bool, levels: Sequence[slice]
) -> Tensor:
    flips = mirror_combinations(mirror)
    total: Tensor | None = None
    try:
        for axes in flips:
            placed = runtime.place(patch.flip(axes) if axes else patch)
            with runtime.autocast():
                logits = network(placed)
            masks = torch.cat([logits[:, level].float().softmax(dim=1) for level in levels], dim=1)
            masks = masks.flip(axes) if axes else masks
            total = masks if total is None else total + masks
    # whatever else goes wrong in there is a fault, not want of memory
    except torch.OutOfMemoryError:
        shape = " x ".join(map(str, patch.shape[2:]))
        raise UserError(
            f"-device {runtime.device}",
            f"has not enough memory for a patch of {shape} voxels",
            "end what else uses it, or use -device cpu",
        ) from None
    except RuntimeError as error:
        # torch has no class of its own for the CPU's
        if "DefaultCPUAllocator" in str(error):
            raise MemoryError(str(error)) from error
        raise
    assert total is not None
    return (total[0] / len(flips)).cpu()
