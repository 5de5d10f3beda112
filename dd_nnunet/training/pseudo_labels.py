"""Pseudo-labels without labels: where training starts, and how a dead part is brought back."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from dd_nnunet.core.case import FloatArray
from dd_nnunet.training.kmeans import assign, kmeans, lloyd
from dd_nnunet.training.seeds import derive_seed

PartLabels = npt.NDArray[np.uint8]
SMOOTHING_SD = 0.7
SAMPLE_CASES = 32
SAMPLE_VOXELS = 2**16
CASE_ITERATIONS = 20
RESEED_SHARE = 0.01
DICE_EPSILON = 1.0


class WarmStart:
    """k-means parts of each case: centres from the whole dataset, then refined on the case.

    Starting every case from the dataset's centres lets the same number mean the same part everywhere;
    refining lets it follow the case's own intensities.

    Args:
        targets: visual targets [C,Z,Y,X] of a sample of training cases.
        n_parts: K.
        seed: of k-means++.
    """

    def __init__(self, targets: Sequence[FloatArray], n_parts: int, seed: int) -> None:
        self.n_parts = n_parts
        share = max(SAMPLE_VOXELS // max(len(targets), 1), 1)
        random = np.random.default_rng(derive_seed(seed, "k-means sample"))
        points = []
        for target in targets:
            of_case = _points(target)
            points.append(of_case[torch.from_numpy(random.integers(0, len(of_case), share))])
        self.centres = kmeans(torch.cat(points), n_parts, derive_seed(seed, "k-means"))

    def labels(self, target: FloatArray) -> PartLabels:
        """Parts [Z,Y,X] of one case, from its visual target [C,Z,Y,X]."""
        points = _points(target)
        centres = lloyd(points, self.centres, CASE_ITERATIONS)
        return assign(points, centres)[0].numpy().astype(np.uint8).reshape(target.shape[1:])


def _points(target: FloatArray) -> Tensor:
    smooth = np.stack([gaussian_filter(channel, SMOOTHING_SD) for channel in target])
    return torch.from_numpy(smooth.reshape(len(target), -1).T.copy())


def reseed_labels(masks: Tensor, unexplained: Tensor, dead_parts: Sequence[int]) -> Tensor:
    """Hard parts in which each dead part takes a share of the worst-explained voxels.

    Args:
        masks: [B,K,Z,Y,X] of the current network.
        unexplained: [B,Z·Y·X] ‖h_u − z_k(u)‖² per voxel.
        dead_parts: parts that win no voxels.

    Returns:
        [B,Z,Y,X] int64.
    """
    owner = masks.argmax(dim=1)
    flat = owner.flatten(1).clone()
    n_each = max(int(flat.shape[1] * RESEED_SHARE), 1)
    order = unexplained.argsort(dim=1, descending=True)
    for index, part in enumerate(dead_parts):
        flat.scatter_(1, order[:, index * n_each : (index + 1) * n_each], part)
    return flat.view_as(owner)


def pseudo_label_loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy, and soft Dice so that small parts count.

    Args:
        logits: [B,K,Z,Y,X].
        labels: [B,Z,Y,X] int64.

    Returns:
        The sum of both and the cross-entropy alone (scalars).
    """
    cross_entropy = torch.nn.functional.cross_entropy(logits, labels)
    masks = logits.softmax(dim=1)
    truth = torch.nn.functional.one_hot(labels, logits.shape[1]).permute(0, 4, 1, 2, 3)
    overlap = (masks * truth).sum(dim=(0, 2, 3, 4))
    total = masks.sum(dim=(0, 2, 3, 4)) + truth.sum(dim=(0, 2, 3, 4))
    dice = (2 * overlap + DICE_EPSILON) / (total + DICE_EPSILON)
    return cross_entropy + 1 - dice.mean(), cross_entropy
