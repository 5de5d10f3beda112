"""An outline, moved to where the volume changes."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dd_nnunet.regions.denoising import COARSE_WEIGHT, SLAB_VOXELS, FloatImage, denoise, laplacian_noise_sd
from dd_nnunet.regions.foreground import Mask, background_constant

# in mean voxel edges: how far an outline moves, how far its two sides are looked at, over what they are averaged
REACH = 2.0
SIDES = 5.0
NEIGHBOURHOOD = 4.0
TRUNCATE = 3.0
MIN_WEIGHT = 1e-3


def sharp_outline(mask: Mask, volume: FloatImage, spacing_zyx_mm: tuple[float, float, float]) -> Mask:
    """Move the outline of what a network found to where the volume changes from one side to the other.

    A segmenter knows where an object is better than where precisely it ends. Within two voxels of the outline, a
    voxel is inside if the denoised volume is there nearer to the mean of what lies inside nearby than to that of
    what lies outside nearby. Where the two means differ by less than the volume's noise, the outline stays; where
    the background is a constant, what differs from it is inside.

    Args:
        mask: [Z,Y,X].
        volume: [Z,Y,X] in [0,1].
        spacing_zyx_mm: of the volume.

    Returns:
        [Z,Y,X] bool, the mask itself but for a band of two mean voxel edges on either side of its outline.

    Source: one step of the localized mean separation of Lankton and Tannenbaum, "Localizing region-based active
    contours", IEEE Transactions on Image Processing 17 (2008), equations 8 to 12, without a curvature term.
    """
    if not mask.any() or mask.all():
        return mask
    unit = float(np.prod(spacing_zyx_mm)) ** (1 / 3)
    edges = (spacing_zyx_mm[0] / unit, spacing_zyx_mm[1] / unit, spacing_zyx_mm[2] / unit)
    constant = background_constant(volume)
    sharp = mask.copy()
    noise = laplacian_noise_sd(volume)
    margin = int(np.ceil((SIDES + TRUNCATE * NEIGHBOURHOOD) / edges[0]))
    thickness = max(SLAB_VOXELS // volume[0].size, 1)
    for start in range(0, len(volume), thickness):
        first = max(start - margin, 0)
        slab = slice(first, start + thickness + margin)
        if not mask[slab].any() or mask[slab].all():
            continue
        moved = (
            _moved(mask[slab], denoise(volume[slab], COARSE_WEIGHT, noise), noise, edges)
            if constant is None
            else _differing(mask[slab], volume[slab] != constant, edges)
        )
        sharp[start : start + thickness] = moved[start - first : start - first + thickness]
    return sharp


def _differing(mask: Mask, differs: Mask, edges: tuple[float, float, float]) -> Mask:
    return np.where(np.abs(_depth(mask, edges)) <= REACH, differs, mask)


def _moved(mask: Mask, fine: FloatImage, noise: float, edges: tuple[float, float, float]) -> Mask:
    depth = _depth(mask, edges)
    # the outermost voxels inside are partly outside
    inner, there = _mean_nearby(fine, (depth > 1) & (depth < SIDES), edges)
    outer, around = _mean_nearby(fine, (depth < 0) & (depth > -SIDES), edges)
    known = (there > MIN_WEIGHT) & (around > MIN_WEIGHT) & (np.abs(inner - outer) > noise)
    inside = (fine - (inner + outer) / 2) * (inner - outer) > 0
    return np.where((np.abs(depth) <= REACH) & known, inside, mask)


def _depth(mask: Mask, edges: tuple[float, float, float]) -> npt.NDArray[np.float32]:
    """How deep a voxel lies in the mask, in mean voxel edges; below 0 outside."""
    inside = ndimage.distance_transform_edt(mask, edges).astype(np.float32)
    outside = ndimage.distance_transform_edt(~mask, edges).astype(np.float32)
    return np.asarray(inside - outside, dtype=np.float32)


def _mean_nearby(
    fine: FloatImage, where: Mask, edges: tuple[float, float, float]
) -> tuple[FloatImage, FloatImage]:
    """Mean over a Gaussian neighbourhood of what lies in a mask, and how much of the neighbourhood that is."""
    sigma = [NEIGHBOURHOOD / edge for edge in edges]
    weight = ndimage.gaussian_filter(where.astype(np.float32), sigma, truncate=TRUNCATE)
    total = ndimage.gaussian_filter(np.where(where, fine, np.float32(0)), sigma, truncate=TRUNCATE)
    return np.asarray(total / np.maximum(weight, MIN_WEIGHT), dtype=np.float32), weight
