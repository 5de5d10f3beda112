"""The same number for the same part across folds: Hungarian matching on overlaps."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from dd_nnunet.core.case import FloatArray
from dd_nnunet.core.part_tree import PartTree

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


def align_to_reference(overlaps: Sequence[Overlaps], tree: PartTree) -> tuple[int, ...]:
    """Which part of the other model stands for each part of the reference.

    The first level's parts are matched first, then the children of each part with those of the part it is matched
    with. Parts are matched only if what lies below them has the same form.

    Args:
        overlaps: per level [K,K], summed over volumes.
        tree: which part lies in which.

    Returns:
        order: channel `order[i]` of the other model is channel i of the reference, over the parts of all levels;
        maximises the summed Dice among siblings. Of equally good ones it is that with most numbers kept; beyond that,
        always the same.
    """
    matches = [_matched(overlaps[0], range(tree.n_parts[0]), range(tree.n_parts[0]), tree, 0)]
    for level in range(1, tree.n_levels):
        found: dict[int, int] = {}
        for part, other in matches[-1].items():
            children, others = tree.children(level - 1, part), tree.children(level - 1, other)
            found |= _matched(overlaps[level], children, others, tree, level)
        matches.append(found)
    return tuple(
        channels.start + match[part]
        for channels, match in zip(tree.channels, matches, strict=True)
        for part in range(len(match))
    )


def _matched(
    overlaps: Overlaps, parts: Sequence[int], others: Sequence[int], tree: PartTree, level: int
) -> dict[int, int]:
    """The other model's part for each of some siblings, which are as many on both sides."""
    volumes = overlaps.sum(axis=1)[:, None] + overlaps.sum(axis=0)[None, :]
    dice = np.divide(2 * overlaps, volumes, out=np.zeros_like(overlaps), where=volumes > 0)
    # parts that overlap nothing, or all alike, keep their own numbers
    benefit = (dice + np.eye(len(dice)) * 1e-9)[np.ix_(parts, others)]
    alike = [[tree.shape_below(level, a) == tree.shape_below(level, b) for b in others] for a in parts]
    rows, columns = linear_sum_assignment(np.where(alike, benefit, -len(dice)), maximize=True)
    return {parts[row]: others[column] for row, column in zip(rows, columns, strict=True)}


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
