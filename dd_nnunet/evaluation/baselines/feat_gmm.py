"""Baseline `feat-gmm`: a Gaussian mixture of the features of a fold's frozen diffusion model."""

import numpy as np
import torch
from torch import Tensor

from dd_nnunet.evaluation.baselines.feature_clusters import Assign
from dd_nnunet.evaluation.baselines.gaussian_mixture import fit_mixture
from dd_nnunet.training.kmeans import assign, kmeans


def cluster_by_mixture(sample: Tensor, n_parts: int, seed: int) -> Assign:
    """The most probable of K Gaussians with diagonal covariances, found from where `feat-kmeans` ends.

    Features are projected on their principal components, so that diagonal covariances lose little.

    Args:
        sample: [N,D].
        n_parts: K.
        seed: of the starts of k-means.

    Source: `fit_mixture`; that of `feat-kmeans`, with clusters that may differ in size and shape.
    """
    start = assign(sample, kmeans(sample, n_parts, seed))[0].numpy()
    mixture = fit_mixture(sample.double().numpy(), np.ones(len(sample)), start, n_parts)
    return lambda voxels: torch.from_numpy(mixture.assign(voxels.double().numpy()))
