"""What speaks for a division of volumes where there are no labels: measured of every epoch, to choose models by.

Each criterion is better when it is higher, and none depends on how the parts are numbered. How each goes with true
Dice is told in the documentation (results); by itself none decides which epoch is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from dd_nnunet.core.case import FloatArray

Labels = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Criteria:
    """Of one level, means over the volumes that were looked at.

    Args:
        explained_visual: share of the variance of the visual target (Eq. 7) that the parts explain; in [0,1].
        explained_features: the same of the features of the level's stages (Eq. 6), mean over the stages; in [0,1].
        boundary_contrast: mean step of the visual target between neighbouring voxels of different parts, over the
            mean step between all neighbours; at least 0, 0 where there is one part only.
        mirror_agreement: mean Dice of the parts of a volume and of its mirror image, mirrored back; in [0,1].
        gamma_agreement: the same for the volume of other gamma (Eq. 8); in [0,1].
    """

    explained_visual: float
    explained_features: float
    boundary_contrast: float
    mirror_agreement: float
    gamma_agreement: float

    @classmethod
    def mean(cls, found: Sequence["Criteria"]) -> "Criteria":
        """Over volumes; at least one."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: float(np.mean([getattr(one, name) for one in found])) for name in names})


def explained_share(labels: Labels, values: FloatArray, n_parts: int) -> float:
    """Share of the variance of values that the parts' means explain: 1 - C(h) / V of hard masks (Eq. 5).

    Args:
        labels: [Z,Y,X] parts.
        values: [C,Z,Y,X] at every voxel.
        n_parts: K.

    Returns:
        In [0,1]; 0 where the values do not vary.
    """
    weights = np.equal(labels.ravel(), np.arange(n_parts)[:, None])
    return _explained(weights.astype(np.float64), values.reshape(len(values), -1).astype(np.float64))


def explained_share_of_cells(labels: Labels, cells: FloatArray, n_parts: int) -> float:
    """The same of features on a coarser grid, each cell standing for all of its voxels.

    Args:
        labels: [Z,Y,X], lengths are multiples of the cells'.
        cells: [C,z,y,x].
        n_parts: K.
    """
    z, y, x = cells.shape[1:]
    blocks = labels.reshape(z, len(labels) // z, y, labels.shape[1] // y, x, labels.shape[2] // x)
    shares = [np.equal(blocks, part).mean(axis=(1, 3, 5)).ravel() for part in range(n_parts)]
    return _explained(np.stack(shares), cells.reshape(len(cells), -1).astype(np.float64))


def _explained(weights: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> float:
    """Of weights [K,N] that sum to 1 over K, and values [C,N]: (Σ_k |s_k|²/n_k) / Σ_u |h_u|², h centred."""
    centred = values - values.mean(axis=1, keepdims=True)
    total = float((centred**2).sum())
    sums, sizes = centred @ weights.T, weights.sum(axis=1)  # [C,K], [K]
    alive = sizes > 0
    between = float(((sums[:, alive] ** 2).sum(axis=0) / sizes[alive]).sum())
    return min(max(between / total, 0.0), 1.0) if total > 0 else 0.0


def boundary_contrast(labels: Labels, values: FloatArray) -> float:
    """Mean step of values across outlines over the mean step everywhere.

    Args:
        labels: [Z,Y,X] parts.
        values: [C,Z,Y,X]; a step is the distance of two neighbours along an axis.

    Returns:
        1 where outlines lie no better than anywhere; 0 without outlines or steps.
    """
    steps, across = [], []
    for axis in range(3):
        steps.append(np.sqrt((np.diff(values.astype(np.float64), axis=axis + 1) ** 2).sum(axis=0)).ravel())
        across.append((np.diff(labels.astype(np.int64), axis=axis) != 0).ravel())
    all_steps, outlines = np.concatenate(steps), np.concatenate(across)
    if not outlines.any() or not all_steps.any():
        return 0.0
    return float(all_steps[outlines].mean() / all_steps.mean())


def agreement(first: Labels, second: Labels, n_parts: int) -> float:
    """Mean Dice of the parts that either of two divisions has.

    Args:
        first: parts of some voxels.
        second: parts of the same voxels, with the same numbers.
        n_parts: K.
    """
    both = np.bincount(first.ravel()[first.ravel() == second.ravel()], minlength=n_parts)
    sizes = np.bincount(first.ravel(), minlength=n_parts) + np.bincount(second.ravel(), minlength=n_parts)
    there = sizes > 0
    return float((2 * both[there] / sizes[there]).mean())
