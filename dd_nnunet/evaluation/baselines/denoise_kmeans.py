"""Baselines that denoise, then cluster: `denoise-kmeans`, and the same with two other denoisers."""

import logging
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from skimage.restoration import denoise_nl_means

from dd_nnunet.core.errors import UserError
from dd_nnunet.evaluation.baselines.kmeans import FloatImage, Parts, segment_by_kmeans
from dd_nnunet.regions.denoising import denoise, laplacian_noise_sd

LOGGER = logging.getLogger(__name__)
# chosen with the labels of synthetic cells, that is in favour of this rival
WEIGHT_PER_NOISE_SD = 1.25
# as scikit-image's documentation advises where the noise is known
NL_MEANS_PER_NOISE_SD, NL_MEANS_PATCH, NL_MEANS_REACH = 0.6, 5, 6
BM4D_LICENCE = "bm4d is for non-commercial use only: its own licence, not dd_nnunet's, is yours to keep to"
# [Z,Y,X] in [0,1] and the sd of its noise -> [Z,Y,X]
Denoiser = Callable[[FloatImage, float], FloatImage]


def segment_denoised(
    image: FloatImage, parts_per_level: Sequence[int], denoiser: Denoiser | None = None
) -> tuple[Parts, ...]:
    """Denoise every channel in 3-D, then cluster (`segment_by_kmeans`).

    Args:
        image: [C,Z,Y,X] in [0,1].
        parts_per_level: K of each level.
        denoiser: by default total variation.

    Returns:
        Per level the parts [Z,Y,X], 0 … K-1 by rising mean intensity.
    """
    denoiser = denoiser or by_total_variation
    denoised = np.stack([denoiser(channel, laplacian_noise_sd(channel)) for channel in image])
    return segment_by_kmeans(denoised.clip(0, 1), parts_per_level)


def by_total_variation(volume: FloatImage, noise: float) -> FloatImage:
    """As strong as the noise asks for (`regions.denoising.denoise`)."""
    return denoise(volume, WEIGHT_PER_NOISE_SD, noise)


def by_nl_means(volume: FloatImage, noise: float) -> FloatImage:
    """Non-local means.

    Source: Buades, Coll, Morel, "A non-local algorithm for image denoising", CVPR 2005, as in scikit-image.
    """
    if noise == 0:
        return volume
    smooth = denoise_nl_means(
        volume,
        patch_size=NL_MEANS_PATCH,
        patch_distance=NL_MEANS_REACH,
        h=NL_MEANS_PER_NOISE_SD * noise,
        sigma=noise,
        fast_mode=True,
    )
    # of a single slice it leaves out the axis
    return cast(FloatImage, smooth.astype(np.float32).reshape(volume.shape))


def by_bm4d(volume: FloatImage, noise: float) -> FloatImage:
    """BM4D, which the paper's table has beside its own; only where the user installed it.

    Raises:
        UserError: it is not installed.

    Source: Maggioni et al., IEEE Transactions on Image Processing 22 (2013), in the package of its authors.
    """
    try:
        import bm4d
    except ImportError as error:
        remedy = "choose denoise-kmeans; or, for non-commercial use: pip install bm4d"
        raise UserError(
            "--method bm4d-kmeans", f"the package bm4d cannot be imported ({error})", remedy
        ) from None
    LOGGER.warning("warning: %s", BM4D_LICENCE)
    return cast(FloatImage, bm4d.bm4d(volume, noise).astype(np.float32)) if noise else volume
