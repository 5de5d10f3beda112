"""Which part is which true class: Dice matrices, the `hsu` and `strict` protocols, and nesting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from dd_nnunet.core.errors import UserError

LabelArray = npt.NDArray[np.integer[Any]]
FloatMatrix = npt.NDArray[np.float64]
CountArray = npt.NDArray[np.int64]
Classes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Overlap:
    """All that the scores of one image need: how many voxels each part shares with each true class.

    Args:
        intersection: [P,C] voxels in part p and class c.
        part_voxels: [P].
        class_voxels: [C].
        n_voxels: of the image.
        unexpected: voxels of each true label that belongs to no class.
    """

    intersection: CountArray
    part_voxels: CountArray
    class_voxels: CountArray
    n_voxels: int
    unexpected: dict[int, int]

    @property
    def dice(self) -> FloatMatrix:
        """Dice of every part with every class, [P,C] in [0,1]; NaN where both are empty."""
        sizes = self.part_voxels[:, None] + self.class_voxels[None, :]  # [P,C]
        with np.errstate(invalid="ignore"):
            return 2.0 * self.intersection / sizes


def count_overlap(
    prediction: LabelArray, truth: LabelArray, n_parts: int, classes: Classes, where: object = "prediction"
) -> Overlap:
    """Count the voxels that parts and classes share.

    Args:
        prediction: [Z,Y,X] parts, 0 … n_parts-1.
        truth: [Z,Y,X] true labels.
        n_parts: number of parts P of the model, parts that win no voxel included.
        classes: name -> the true labels it merges; classes may share labels.
        where: the prediction's file, for errors.

    Raises:
        UserError: the shapes differ, or a part number is outside 0 … n_parts-1.
    """
    if prediction.shape != truth.shape:
        seen = f"has shape {prediction.shape}, the truth {truth.shape} (z, y, x)"
        raise UserError(where, seen, "compare them on the raw grid")
    if prediction.size and not 0 <= int(prediction.min()) <= int(prediction.max()) < n_parts:
        found = f"{int(prediction.min())} to {int(prediction.max())}"
        raise UserError(where, f"holds parts {found}", f"allowed: 0 to {n_parts - 1}")
    labels, codes = np.unique(truth, return_inverse=True)
    pairs = prediction.ravel().astype(np.int64) * len(labels) + codes.ravel()
    joint = np.bincount(pairs, minlength=n_parts * len(labels)).reshape(n_parts, len(labels))  # [P,L]
    belongs = np.array([np.isin(labels, merged) for merged in classes.values()]).T  # [L,C]
    label_voxels = joint.sum(axis=0)  # [L]
    return Overlap(
        intersection=joint @ belongs,
        part_voxels=joint.sum(axis=1),
        class_voxels=label_voxels @ belongs,
        n_voxels=truth.size,
        unexpected={int(labels[i]): int(label_voxels[i]) for i in np.flatnonzero(~belongs.any(axis=1))},
    )


def missing_prediction(truth: LabelArray, n_parts: int, classes: Classes) -> Overlap:
    """The overlap of an image that was not predicted: every part is empty, so every true class scores 0."""
    everything = count_overlap(np.zeros_like(truth), truth, n_parts, classes)
    return Overlap(
        intersection=np.zeros_like(everything.intersection),
        part_voxels=np.zeros_like(everything.part_voxels),
        class_voxels=everything.class_voxels,
        n_voxels=everything.n_voxels,
        unexpected=everything.unexpected,
    )


def dice_matrix(prediction: LabelArray, truth: LabelArray, n_parts: int, classes: Classes) -> FloatMatrix:
    """Dice of every part with every class, [P,C] in [0,1]; NaN where both are empty (see `count_overlap`)."""
    return count_overlap(prediction, truth, n_parts, classes).dice


def hsu_dice(overlap: Overlap) -> float:
    """Score one image by the `hsu` protocol: its own best matching, background included.

    The classes that count are those present in this image; the parts that count are all P of the model. So
    the mean runs over min(P, classes present) pairs, and a part that won no voxel earns 0: counting only the
    parts that are present would pay a collapsed model for its collapse. With every part alive both agree.

    Returns:
        The mean Dice of the matched pairs, in [0,1]; NaN for an image in which no class is present.

    Source: Hsu et al., NeurIPS 2021 (arXiv 2012.01644), as used by Tursynbek & Niethammer, MICCAI 2023.
    """
    dice = overlap.dice[:, overlap.class_voxels > 0]
    if not dice.size:
        return float("nan")
    return float(dice[linear_sum_assignment(dice, maximize=True)].mean())


def match_parts(overlaps: Sequence[Overlap]) -> tuple[int | None, ...]:
    """The one label map of a model: for each class the part it is, or None where no part is left or overlaps.

    Hungarian matching of parts with classes on the Dice summed over the images (`strict` protocol).
    """
    total = np.sum([np.nan_to_num(overlap.dice) for overlap in overlaps], axis=0)  # [P,C]
    label_map: list[int | None] = [None] * total.shape[1]
    for part, true_class in zip(*linear_sum_assignment(total, maximize=True), strict=True):
        # a pair without any overlap is an accident of the assignment, not a match
        if total[part, true_class] > 0:
            label_map[true_class] = int(part)
    return tuple(label_map)


def strict_dice(overlap: Overlap, label_map: Sequence[int | None]) -> npt.NDArray[np.float64]:
    """Score one image by the `strict` protocol, under the label map of its model.

    Returns:
        Dice of each class [C]: 0 for a class without a part, NaN where neither class nor part is there.
    """
    dice = overlap.dice
    unmatched = np.where(overlap.class_voxels > 0, 0.0, np.nan)  # [C]
    return np.array([unmatched[c] if part is None else dice[part, c] for c, part in enumerate(label_map)])


def count_nesting(fine: LabelArray, coarse: LabelArray, n_fine: int, n_coarse: int) -> CountArray:
    """Voxels that each fine part shares with each coarse part, [n_fine,n_coarse]; add them up over images.

    Args:
        fine: [Z,Y,X] parts of a level, 0 … n_fine-1.
        coarse: [Z,Y,X] parts of a coarser level of the same image, 0 … n_coarse-1.
        n_fine: number of fine parts.
        n_coarse: number of coarse parts.
    """
    pairs = fine.ravel().astype(np.int64) * n_coarse + coarse.ravel()
    return np.bincount(pairs, minlength=n_fine * n_coarse).reshape(n_fine, n_coarse)


def nesting_violations(shared: CountArray) -> npt.NDArray[np.float64]:
    """Share of each fine part that lies outside the coarse part that holds most of it.

    Args:
        shared: [n_fine,n_coarse] voxels (`count_nesting`, summed over the images of a model).

    Returns:
        [n_fine] in [0,1]; 0 = nested, NaN for a part without voxels.
    """
    sizes = shared.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(1.0 - shared.max(axis=1) / sizes, dtype=np.float64)
