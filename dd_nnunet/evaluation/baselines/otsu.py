"""Baseline `otsu`: Otsu's thresholds, of the brightest class the largest connected component only."""

from collections.abc import Sequence

import numpy as np

from dd_nnunet.evaluation.baselines.bright_part import GreyImage
from dd_nnunet.evaluation.baselines.kmeans import FloatImage, Parts
from dd_nnunet.regions.intensity_classes import class_thresholds
from dd_nnunet.regions.morphology import largest_component


def segment_otsu(image: FloatImage, parts_per_level: Sequence[int]) -> tuple[Parts, ...]:
    """Divide the voxels that are no constant background into K classes by intensity, each level on its own.

    Otsu's thresholds minimise the variance within classes, which is what one-dimensional k-means does, so they are
    found exactly for any K (`class_thresholds`). Nothing is denoised: connectedness is what cleans the result.

    Args:
        image: [C,Z,Y,X] in [0,1].
        parts_per_level: K of each level.

    Returns:
        Per level the parts [Z,Y,X] (`GreyImage.parts`). With a constant background there are K classes beside it, so
        that K = 3 is background, object, and the bright thing in the object.

    Source: Otsu, "A threshold selection method from gray-level histograms", IEEE Transactions on Systems, Man, and
    Cybernetics 9 (1979), whose section III.D has several thresholds.
    """
    grey = GreyImage(image)
    return tuple(_segment(grey, n_parts) for n_parts in parts_per_level)


def _segment(grey: GreyImage, n_parts: int) -> Parts:
    values = grey.values[grey.inside]
    thresholds = class_thresholds(values, n_parts) if values.size else np.zeros(0)
    return grey.parts(np.digitize(values, thresholds), n_parts, largest_component)
