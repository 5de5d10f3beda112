"""The voxels of a case as points for k-means, smoothed a little, with what is known of each."""

import numpy as np
import torch
from scipy.ndimage import gaussian_gradient_magnitude
from torch import Tensor

from dd_nnunet.core.case import FloatArray
from dd_nnunet.regions.own_means import SMOOTHING_SD, seen_smoothly
from dd_nnunet.training.kmeans import assign, lloyd

CALM_SHARE = 0.9
CASE_ITERATIONS = 20


class CasePoints:
    """The voxels of a case as points: `values` [N,C], and which of them are `calm` [N]."""

    def __init__(self, target: FloatArray) -> None:
        smooth = seen_smoothly(target)
        steepness = sum(gaussian_gradient_magnitude(channel, SMOOTHING_SD) for channel in smooth)
        self.values = torch.from_numpy(smooth.reshape(len(target), -1).T.copy())
        self.calm = torch.from_numpy((steepness <= np.quantile(steepness, CALM_SHARE)).ravel())
        self.everywhere = torch.ones_like(self.calm)
        border = np.ones(target.shape[1:], dtype=bool)
        border[1:-1, 1:-1, 1:-1] = False
        self.border = torch.from_numpy(border.ravel())

    def draw(self, random: np.random.Generator, n_points: int, voxels: Tensor) -> Tensor:
        """A sample of the chosen voxels' values; none where nothing is chosen."""
        values = self.values[voxels]
        return values[torch.from_numpy(random.integers(0, len(values), n_points if len(values) else 0))]

    def refine(self, centres: Tensor, voxels: Tensor) -> Tensor:
        """Fit the centres to the chosen voxels and assign all voxels to them: [N] int64."""
        values = self.values[voxels]
        fitted = lloyd(values, centres, CASE_ITERATIONS) if len(values) >= len(centres) else centres
        return assign(self.values, fitted)[0]
