"""Baseline `bright-cluster`: the brightest of five Gaussian clusters, its small pieces left out, its holes filled."""

from collections.abc import Sequence

import numpy as np

from dd_nnunet.evaluation.baselines.bright_part import Classes, GreyImage
from dd_nnunet.evaluation.baselines.gaussian_mixture import fit_mixture
from dd_nnunet.evaluation.baselines.kmeans import FloatImage, Floats, Parts
from dd_nnunet.regions.foreground import Mask
from dd_nnunet.regions.intensity_classes import best_cuts
from dd_nnunet.regions.morphology import filled, without_small_beside_largest

# as published; a constant background is one of the clusters
N_CLUSTERS = 5
SMALLEST_SHARE = 0.3
N_BINS = 512


def segment_bright_cluster(image: FloatImage, parts_per_level: Sequence[int]) -> tuple[Parts, ...]:
    """Cluster the intensities of one prepared case by a Gaussian mixture and clean the brightest cluster.

    Made for whole tumours on FLAIR (K = 3: background, brain, tumour). It is a rule for one bright thing in a volume,
    and with K = 2 all that is not that thing is part 0.

    Args:
        image: [C,Z,Y,X] in [0,1].
        parts_per_level: K of each level; above 5, there are as many clusters as parts.

    Returns:
        Per level the parts [Z,Y,X] (`GreyImage.parts`).

    Source: the whole tumour of AUCseg (Zhao et al., Frontiers in Oncology 11 (2021), 679952): a Gaussian mixture of
    5 clusters on FLAIR, the brightest one, components of at least 0.3 of the largest, holes filled. Its released code
    also grows the result by a voxel, which is left out; its mixture starts from random k-means, ours from the best.
    """
    grey = GreyImage(image)
    return tuple(_segment(grey, n_parts) for n_parts in parts_per_level)


def _segment(grey: GreyImage, n_parts: int) -> Parts:
    n_clusters = max(N_CLUSTERS, n_parts) - grey.has_constant_background
    values = grey.values[grey.inside]
    classes = clusters_by_mean(values, n_clusters) if values.size else np.zeros(0, dtype=np.intp)
    return grey.parts(classes, n_parts, _without_pieces)


def clusters_by_mean(values: FloatImage, n_clusters: int) -> Classes:
    """Components of the Gaussian mixture of numbers.

    Args:
        values: [N] in [0,1].
        n_clusters: fewer distinct numbers give fewer.

    Returns:
        [N] the most probable component, 0 … by rising mean.
    """
    bins = np.minimum((values * N_BINS).astype(np.intp), N_BINS - 1)
    counts = np.bincount(bins, minlength=N_BINS)
    used = np.flatnonzero(counts)
    centres: Floats = (used + 0.5) / N_BINS
    weights = counts[used].astype(np.float64)
    n_clusters = min(n_clusters, len(used))
    cuts = best_cuts(centres, weights, n_clusters)
    start = np.searchsorted(cuts, np.arange(len(used)), side="right")
    mixture = fit_mixture(centres[:, None], weights, start, n_clusters)
    rank = np.argsort(np.argsort(mixture.means[:, 0], kind="stable"))
    class_of_bin = np.zeros(N_BINS, dtype=np.intp)
    class_of_bin[used] = rank[mixture.assign(centres[:, None])]
    return np.asarray(class_of_bin[bins])


def _without_pieces(mask: Mask) -> Mask:
    return filled(without_small_beside_largest(mask, SMALLEST_SHARE))
