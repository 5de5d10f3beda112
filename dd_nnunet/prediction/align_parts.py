"""The same number for the same part across folds: Hungarian matching on overlaps."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from dd_nnunet.core.case import FloatArray

Overlaps = npt.NDArray[np.float64]
Parts = npt.NDArray[np.intp]


def overlap_matrix(reference: Parts, other: Parts, n_parts: int) -> Overlaps:
    """Shared voxels of the parts of two predictions of the same voxels.

    Args:
        reference: part numbers of any shape.
        other: the same of another model.
        n_parts: K.

    Returns:
        [K,K] voxels that are part i of the reference and part j of the other.
    """
    pairs = reference * n_parts + other
    counts = np.bincount(pairs.ravel(), minlength=n_parts * n_parts)
    return counts.reshape(n_parts, n_parts).astype(np.float64)


def align_to_reference(overlaps: Overlaps) -> tuple[int, ...]:
    """Which part of the other model stands for each part of the reference.

    Args:
        overlaps: [K,K] summed over volumes.

    Returns:
        order: part `order[i]` of the other model is part i of the reference; maximises the summed Dice.
        Of equally good ones it is that with most numbers kept; beyond that, always the same.
    """
    volumes = overlaps.sum(axis=1)[:, None] + overlaps.sum(axis=0)[None, :]
    dice = np.divide(2 * overlaps, volumes, out=np.zeros_like(overlaps), where=volumes > 0)
    # parts that overlap nothing, or all alike, keep their own numbers
    tie_break = np.eye(len(dice)) * 1e-9
    rows, columns = linear_sum_assignment(dice + tie_break, maximize=True)
    return tuple(int(columns[i]) for i in np.argsort(rows))


def average_folds(probabilities: Iterable[FloatArray], orders: Sequence[Sequence[int]]) -> FloatArray:
    """Mean over folds after putting each fold's parts in the reference's order.

    Args:
        probabilities: [K,…] of each fold; taken one by one, so that they need not be held together.
        orders: `align_to_reference` of each fold.

    Returns:
        [K,…] float32.
    """
    total: FloatArray | None = None
    for fold, order in zip(probabilities, orders, strict=True):
        aligned = fold[list(order)]
        total = aligned if total is None else np.add(total, aligned, out=total)
    assert total is not None, "an ensemble has at least one fold"
    return np.divide(total, len(orders), out=total)
