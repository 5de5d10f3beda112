"""Pseudo-labels without labels: where training starts, and how a dead part is brought back."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import gaussian_filter, gaussian_gradient_magnitude
from torch import Tensor

from dd_nnunet.core.case import FloatArray
from dd_nnunet.training.kmeans import assign, kmeans, lloyd
from dd_nnunet.training.seeds import derive_seed

PartLabels = npt.NDArray[np.uint8]
SMOOTHING_SD = 0.7
CALM_SHARE = 0.9
VOXELS_PER_PART = 50
BACKGROUND_BORDER_SHARE = 0.75
SAMPLE_CASES = 32
SAMPLE_VOXELS = 2**16
CASE_ITERATIONS = 20
RESEED_SHARE = 0.01
DICE_EPSILON = 1.0
BALANCE = 0.25
# a part of a few voxels must not outweigh the others
FEWEST_VOXELS = 50


class WarmStart:
    """k-means parts of each case: centres from the whole dataset, then refined on the case.

    Starting every case from the dataset's centres lets the same number mean the same part everywhere;
    refining lets it follow the case's own intensities. Two rules keep parts from being wasted:

    - With more than two parts, centres are fitted to calm voxels only. The steepest tenth are mostly outlines,
      whose values lie between those of their two sides and would get parts of their own.
    - With more than two parts, a plain background is set apart first and the rest is split. It is plain if one of
      two clusters owns three quarters of the outermost voxels and varies less inside than the other.

    Where an object is too small for a rule (fewer than 50 voxels a part), the rule is left out.

    Args:
        targets: visual targets [C,Z,Y,X] of a sample of training cases.
        n_parts: K.
        seed: of k-means++.
    """

    def __init__(self, targets: Sequence[FloatArray], n_parts: int, seed: int) -> None:
        self.n_parts = n_parts
        cases = [_CasePoints(target) for target in targets]
        random = np.random.default_rng(derive_seed(seed, "k-means sample"))
        share = max(SAMPLE_VOXELS // max(len(cases), 1), 1)
        seed = derive_seed(seed, "k-means")
        self.two_centres = kmeans(torch.cat([c.draw(random, share, c.everywhere) for c in cases]), 2, seed)
        self.background = _plain_background(cases, self.two_centres) if n_parts > 2 else None
        if self.background is not None and self._object_voxels(cases) < VOXELS_PER_PART * n_parts:
            self.background = None
        self.centres = self.two_centres
        if n_parts > 2:
            sample = [c.draw(random, share, self._to_fit(c)) for c in cases]
            self.centres = kmeans(torch.cat(sample), n_parts - (self.background is not None), seed)

    def labels(self, target: FloatArray) -> PartLabels:
        """Parts [Z,Y,X] of one case, from its visual target [C,Z,Y,X]; a plain background is part 0."""
        case = _CasePoints(target)
        labels = case.refine(self.centres, self._to_fit(case))
        if self.background is not None:
            labels = torch.where(self._object(case), 1 + labels, 0)
        return labels.numpy().astype(np.uint8).reshape(target.shape[1:])

    def _to_fit(self, case: "_CasePoints") -> Tensor:
        """The voxels that centres are fitted to: [N] bool."""
        if self.n_parts == 2:
            return case.everywhere
        voxels = self._object(case)
        calm = voxels & case.calm
        return calm if int(calm.sum()) >= VOXELS_PER_PART * self.n_parts else voxels

    def _object(self, case: "_CasePoints") -> Tensor:
        """The voxels that are not background: [N] bool."""
        if self.background is None:
            return case.everywhere
        return case.refine(self.two_centres, case.everywhere) != self.background

    def _object_voxels(self, cases: Sequence["_CasePoints"]) -> int:
        return sum(int(self._object(case).sum()) for case in cases)


class _CasePoints:
    """The voxels of a case as points: `values` [N,C], and which of them are `calm` [N]."""

    def __init__(self, target: FloatArray) -> None:
        smooth = np.stack([gaussian_filter(channel, SMOOTHING_SD) for channel in target])
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


def _plain_background(cases: Sequence[_CasePoints], two_centres: Tensor) -> int | None:
    """The cluster that is a plain background (see `WarmStart`), or None."""
    border_counts = torch.zeros(2, dtype=torch.float64)
    counts, squares = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for case in cases:
        labels = case.refine(two_centres, case.everywhere)
        border_counts += torch.bincount(labels[case.border], minlength=2)
        for cluster in (0, 1):
            inside = case.values[labels == cluster].double()
            counts[cluster] += len(inside)
            squares[cluster] += (inside - inside.mean(dim=0)).square().sum() if len(inside) else 0
    background = int(border_counts.argmax())
    variances = squares / counts.clamp(min=1)
    owns_border = border_counts[background] >= BACKGROUND_BORDER_SHARE * border_counts.sum()
    return background if owns_border and variances[background] < variances[1 - background] else None


def reseed_labels(labels: Tensor, unexplained: Tensor, dead_parts: Sequence[int]) -> Tensor:
    """Labels in which each dead part takes a share of the worst-explained voxels.

    Args:
        labels: [B,Z,Y,X] int64, pseudo-labels or the current hard parts.
        unexplained: [B,Z·Y·X] ‖h_u − z_k(u)‖² per voxel.
        dead_parts: parts that win (almost) no voxel.

    Returns:
        [B,Z,Y,X] int64.
    """
    flat = labels.flatten(1).clone()
    n_each = max(int(flat.shape[1] * RESEED_SHARE), 1)
    order = unexplained.argsort(dim=1, descending=True)
    for index, part in enumerate(dead_parts):
        flat.scatter_(1, order[:, index * n_each : (index + 1) * n_each], part)
    return flat.view_as(labels)


def pseudo_label_loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy and soft Dice, such that small parts count.

    In the cross-entropy a voxel of a part with n voxels in the batch weighs n^-3/4, so that a part counts with the
    fourth root of its size; the weights of all voxels sum to 1.

    Args:
        logits: [B,K,Z,Y,X].
        labels: [B,Z,Y,X] int64.

    Returns:
        The sum of both and the cross-entropy alone (scalars).
    """
    masks = logits.softmax(dim=1)
    truth = torch.nn.functional.one_hot(labels, logits.shape[1]).permute(0, 4, 1, 2, 3)
    weights = _weights_of_parts(truth.sum(dim=(0, 2, 3, 4)))
    # written out, because torch's own has no repeatable form for volumes on CUDA
    per_part = -(truth * logits.log_softmax(dim=1)).sum(dim=(0, 2, 3, 4))
    cross_entropy = (weights * per_part).sum()
    overlap = (masks * truth).sum(dim=(0, 2, 3, 4))
    total = masks.sum(dim=(0, 2, 3, 4)) + truth.sum(dim=(0, 2, 3, 4))
    dice = (2 * overlap + DICE_EPSILON) / (total + DICE_EPSILON)
    return cross_entropy + 1 - dice.mean(), cross_entropy


def _weights_of_parts(voxels: Tensor) -> Tensor:
    """Weight [K] of each voxel of a part, from the parts' numbers of voxels [K]; the batch's voxels sum to 1."""
    weights = voxels.clamp(min=FEWEST_VOXELS).float().pow(BALANCE - 1)
    return weights / (weights * voxels).sum()
