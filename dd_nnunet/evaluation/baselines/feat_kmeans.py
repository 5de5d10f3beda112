"""Baseline `feat-kmeans`: k-means of the features of a fold's frozen diffusion model."""

from torch import Tensor

from dd_nnunet.evaluation.baselines.feature_clusters import Assign
from dd_nnunet.training.kmeans import assign, kmeans


def cluster_by_kmeans(sample: Tensor, n_parts: int, seed: int) -> Assign:
    """The nearest of K centres: k-means++ starts, Lloyd's iterations.

    Args:
        sample: [N,D].
        n_parts: K.
        seed: of the starts.

    Source: row "k-means on features" of Table 3 of Tursynbek & Niethammer, MICCAI 2023 (arXiv 2305.00067), there per
    image; here the training cases are clustered together, so that a part means the same in all of them.
    """
    centres = kmeans(sample, n_parts, seed)
    return lambda voxels: assign(voxels, centres)[0]
