"""What speaks for a division of volumes where there are no labels: measured of every epoch, to choose models by.

Each criterion is better when it is higher, and none depends on how the parts are numbered. By itself none decides
which epoch is kept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from dd_nnunet.core.case import FloatArray

Labels = npt.NDArray[np.integer[Any]]
Numbers = npt.NDArray[np.float64]
ROUNDING = 1e-12


@dataclass(frozen=True)
class Criteria:
    """Of one level, means over the patches that were looked at.

    Args:
        explained_visual: share of the variance of the visual target (Eq. 7) that the parts explain; in [0,1].
        explained_features: the same of the features of the level's stages (Eq. 6), mean over the stages; in [0,1].
        boundary_contrast: mean step of the visual target between neighbouring voxels of different parts, over the
            mean step between all neighbours; at least 0, 0 where there is one part only.
        mirror_agreement: mean Dice of the parts of a patch and of its mirror image, mirrored back; in [0,1].
        gamma_agreement: the same for the patch of other gamma (Eq. 8); in [0,1].
    """

    explained_visual: float
    explained_features: float
    boundary_contrast: float
    mirror_agreement: float
    gamma_agreement: float

    @classmethod
    def mean(cls, found: Sequence["Criteria"]) -> "Criteria":
        """Over patches; at least one."""
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
    flat = labels.ravel()
    sizes = np.bincount(flat, minlength=n_parts).astype(np.float64)
    per_channel = (channel.ravel().astype(np.float64) for channel in values)
    return _explained(
        sizes,
        (
            (
                np.bincount(flat, channel, n_parts).astype(np.float64),
                float(channel.sum()),
                float(channel @ channel),
            )
            for channel in per_channel
        ),
    )


def explained_share_of_cells(
    labels: Labels, cells: FloatArray, cell_of_zyx: Sequence[npt.NDArray[np.intp]], n_parts: int
) -> float:
    """The same of features on a coarser grid, each voxel having those of its cell.

    Args:
        labels: [Z,Y,X].
        cells: [C,z,y,x].
        cell_of_zyx: per axis, the cell of each of the labels' voxels.
        n_parts: K.
    """
    place = np.ravel_multi_index(np.ix_(*cell_of_zyx), cells.shape[1:])  # [Z,Y,X]
    n_cells = int(np.prod(cells.shape[1:]))
    counts = np.bincount((labels.astype(np.intp) * n_cells + place).ravel(), minlength=n_parts * n_cells)
    counts = counts.reshape(n_parts, n_cells).astype(np.float64)
    of_cell = counts.sum(axis=0)
    per_channel = (channel.ravel().astype(np.float64) for channel in cells)
    return _explained(
        counts.sum(axis=1),
        (
            (counts @ channel, float(of_cell @ channel), float(of_cell @ channel**2))
            for channel in per_channel
        ),
    )


def _explained(sizes: Numbers, channels: Iterable[tuple[Numbers, float, float]]) -> float:
    """Of the parts' numbers of voxels [K] and, per channel, the sums in each part [K], of all, and of the squares.

    Variance between parts: Σ_k |s_k|²/n_k - |s|²/n; variance of all: Σ_u |h_u|² - |s|²/n.
    """
    alive, between, total, power = sizes > 0, 0.0, 0.0, 0.0
    for sums, whole, squares in channels:
        of_mean = whole**2 / float(sizes.sum())
        between += float((sums[alive] ** 2 / sizes[alive]).sum()) - of_mean
        total += squares - of_mean
        power += squares
    # what is left of values that are equal is rounding
    return min(max(between / total, 0.0), 1.0) if total > ROUNDING * power else 0.0


def agreement(first: Labels, second: Labels, n_parts: int) -> float:
    """Mean Dice of the parts that either of two divisions has.

    Args:
        first: parts of some voxels.
        second: parts of the same voxels, with the same numbers.
        n_parts: K.
    """
    both = np.bincount(first[first == second].ravel(), minlength=n_parts)
    sizes = np.bincount(first.ravel(), minlength=n_parts) + np.bincount(second.ravel(), minlength=n_parts)
    there = sizes > 0
    return float((2 * both[there] / sizes[there]).mean())
