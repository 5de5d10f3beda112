"""Pseudo-labels without labels: where training starts, and how a dead part is brought back."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dd_nnunet.core.case import FloatArray
from dd_nnunet.networks.segmentation_unet import sibling_log_softmax, take_parts
from dd_nnunet.training.case_points import CasePoints
from dd_nnunet.training.kmeans import kmeans
from dd_nnunet.training.seeds import derive_seed

PartLabels = npt.NDArray[np.uint8]
VOXELS_PER_PART = 50
BACKGROUND_BORDER_SHARE = 0.75
SAMPLE_CASES = 32
SAMPLE_VOXELS = 2**16
RESEED_SHARE = 0.01
DICE_EPSILON = 1.0
BALANCE = 0.25
# a part of a few voxels must not outweigh the others
FEWEST_VOXELS = 50
SMALLEST_SUM = 1e-12


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
        cases = [CasePoints(target) for target in targets]
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
        case = CasePoints(target)
        labels = case.refine(self.centres, self._to_fit(case))
        if self.background is not None:
            labels = torch.where(self._object(case), 1 + labels, 0)
        return labels.numpy().astype(np.uint8).reshape(target.shape[1:])

    def _to_fit(self, case: "CasePoints") -> Tensor:
        """The voxels that centres are fitted to: [N] bool."""
        if self.n_parts == 2:
            return case.everywhere
        voxels = self._object(case)
        calm = voxels & case.calm
        return calm if int(calm.sum()) >= VOXELS_PER_PART * self.n_parts else voxels

    def _object(self, case: "CasePoints") -> Tensor:
        """The voxels that are not background: [N] bool."""
        if self.background is None:
            return case.everywhere
        return case.refine(self.two_centres, case.everywhere) != self.background

    def _object_voxels(self, cases: Sequence["CasePoints"]) -> int:
        return sum(int(self._object(case).sum()) for case in cases)


def _plain_background(cases: Sequence[CasePoints], two_centres: Tensor) -> int | None:
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


def reseed_within_parents(
    labels: Tensor, unexplained: Tensor, dead_parts: Sequence[int], parents: Sequence[int]
) -> Tensor:
    """`reseed_labels`, but each dead part takes its share of the voxels of the part it lies in.

    Args:
        labels: see `reseed_labels`.
        unexplained: see `reseed_labels`.
        dead_parts: see `reseed_labels`.
        parents: of each part; where no voxel is one of its siblings', nothing changes.

    Returns:
        [B,Z,Y,X] int64, of the same parents everywhere.
    """
    flat = labels.flatten(1).clone()
    inside = torch.tensor(list(parents), device=labels.device)[flat]
    for image, error, owner in zip(flat, unexplained, inside, strict=True):
        for part in dead_parts:
            places = (owner == parents[part]).nonzero().flatten()
            n_taken = max(int(len(places) * RESEED_SHARE), 1)
            taken = places[error[places].argsort(descending=True)[:n_taken]]
            image[taken] = part
            error = error.index_fill(0, taken, -1.0)
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
    truth = torch.nn.functional.one_hot(labels, logits.shape[1]).permute(0, 4, 1, 2, 3)
    return _balanced(logits.log_softmax(dim=1), logits.softmax(dim=1), truth)


def given_parents(logits: Tensor, labels: Tensor, parents: Sequence[int]) -> tuple[Tensor, Tensor]:
    """`pseudo_label_loss` of the children of known parents: which child is it, if the voxel lies in that parent?

    Cross-entropy of a part's whole probability would count the level before once more. Parts that are the only
    child of theirs have nothing to learn and are left out.

    Args:
        logits: [B,K,Z,Y,X] of the finer level, comparable within the children of a part; e.g. log probabilities.
        labels: [B,Z,Y,X] int64 of the finer level.
        parents: of each part.

    Returns:
        As `pseudo_label_loss`; zeros where no part splits.
    """
    split = [k for k, parent in enumerate(parents) if list(parents).count(parent) > 1]
    if not split:
        return logits.sum() * 0, logits.sum() * 0
    log_masks = take_parts(sibling_log_softmax(logits, parents), split)
    parent_of = torch.tensor(list(parents), device=logits.device)
    inside = parent_of[labels][:, None] == parent_of[split][:, None, None, None]
    truth = labels[:, None] == torch.tensor(split, device=logits.device)[:, None, None, None]
    return _balanced(log_masks, log_masks.exp() * inside, truth)


def _balanced(log_masks: Tensor, masks: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    weights = _weights_of_parts(truth.sum(dim=(0, 2, 3, 4)))
    # written out, because torch's own has no repeatable form for volumes on CUDA
    per_part = -(truth * log_masks).sum(dim=(0, 2, 3, 4))
    cross_entropy = (weights * per_part).sum()
    overlap = (masks * truth).sum(dim=(0, 2, 3, 4))
    total = masks.sum(dim=(0, 2, 3, 4)) + truth.sum(dim=(0, 2, 3, 4))
    dice = (2 * overlap + DICE_EPSILON) / (total + DICE_EPSILON)
    return cross_entropy + 1 - dice.mean(), cross_entropy


def _weights_of_parts(voxels: Tensor) -> Tensor:
    """Weight [K] of each voxel of a part, from the parts' numbers of voxels [K]; the batch's voxels sum to 1."""
    weights = voxels.clamp(min=FEWEST_VOXELS).float().pow(BALANCE - 1)
    # the sum is 0 where none of the parts is in the batch
    return weights / (weights * voxels).sum().clamp(min=SMALLEST_SUM)
