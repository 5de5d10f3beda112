"""The plain sliding window, with sums over the whole volume, as a measure for the one that goes slice by slice."""

import torch

from dd_nnunet.core.tiling import gaussian_window, iterate_tiles


def convolution(n_parts, seed=0):
    """A network: what it says of a voxel depends on where the voxel lies in the patch."""
    torch.manual_seed(seed)
    return torch.nn.Conv3d(1, n_parts, 3, padding=1).requires_grad_(False)


@torch.inference_mode()
def whole_volume(network, image, patch_zyx, step_size):
    """Probabilities [K,Z,Y,X] of an image [C,Z,Y,X]."""
    volume, window = torch.from_numpy(image)[None], torch.from_numpy(gaussian_window(patch_zyx))
    total, weights = None, torch.zeros(image.shape[1:])
    for start in iterate_tiles(image.shape[1:], patch_zyx, step_size):
        box = tuple(slice(s, s + p) for s, p in zip(start, patch_zyx, strict=True))
        masks = network(volume[(slice(None), slice(None), *box)]).softmax(dim=1)[0]
        if total is None:
            total = torch.zeros(len(masks), *image.shape[1:])
        total[(slice(None), *box)] += masks * window
        weights[box] += window
    return (total / weights).numpy()
