"""Baseline `denoise-kmeans`: total-variation denoising, then `kmeans`."""

from collections.abc import Sequence

import numpy as np

from dd_nnunet.evaluation.baselines.kmeans import FloatImage, Parts, segment_by_kmeans
from dd_nnunet.regions.denoising import denoise

# chosen with the labels of synthetic cells, that is in favour of this rival
WEIGHT_PER_NOISE_SD = 1.25


def segment_denoised(image: FloatImage, parts_per_level: Sequence[int]) -> tuple[Parts, ...]:
    """Denoise every channel in 3-D, then cluster (`segment_by_kmeans`).

    Args:
        image: [C,Z,Y,X] in [0,1].
        parts_per_level: K of each level.

    Returns:
        Per level the parts [Z,Y,X], 0 … K-1 by rising mean intensity.
    """
    denoised = np.stack([denoise(channel, WEIGHT_PER_NOISE_SD) for channel in image])
    return segment_by_kmeans(denoised.clip(0, 1), parts_per_level)
