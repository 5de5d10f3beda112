"""The same number for the same part across folds: Hungarian matching on overlaps."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from dd_nnunet.core.case import FloatArray

Overlaps = npt.NDArray[np.float64]


def overlap_matrix(reference: FloatArray, other: FloatArray) -> Overlaps:
    """Shared voxels of the parts of two predictions of one volume.

    Args:
        reference: probabilities [K,Z,Y,X]; each voxel counts for its most probable part.
        other: the same of another model.

    Returns:
        [K,K] voxels that are part i of the reference and part j of the other.
    """
    n_parts = len(reference)
    pairs = reference.argmax(axis=0) * n_parts + other.argmax(axis=0)
    counts = np.bincount(pairs.ravel(), minlength=n_parts * n_parts)
    return counts.reshape(n_parts, n_parts).astype(np.float64)


def align_to_reference(overlaps: Overlaps) -> tuple[int, ...]:
    """Which part of the other model stands for each part of the reference.

    Args:
        overlaps: [K,K] summed over volumes.

    Returns:
        order: part `order[i]` of the other model is part i of the reference; maximises the summed Dice.
        Ties fall to the smallest numbers.
    """
    volumes = overlaps.sum(axis=1)[:, None] + overlaps.sum(axis=0)[None, :]
    dice = np.divide(2 * overlaps, volumes, out=np.zeros_like(overlaps), where=volumes > 0)
    # parts without any overlap keep their own numbers
    tie_break = np.eye(len(dice)) * 1e-9
    rows, columns = linear_sum_assignment(dice + tie_break, maximize=True)
    return tuple(int(columns[i]) for i in np.argsort(rows))


def average_folds(probabilities: Sequence[FloatArray], orders: Sequence[Sequence[int]]) -> FloatArray:
    """Mean over folds after putting each fold's parts in the reference's order; [K,Z,Y,X]."""
    aligned = [fold[list(order)] for fold, order in zip(probabilities, orders, strict=True)]
    return np.asarray(np.mean(aligned, axis=0, dtype=np.float32))
