"""Which parts of a volume fall into kinds of intensity, and by how much more than chance.

A region is cut at the thresholds that make the shortest code of "which kind is this voxel, and how bright for its
kind" (minimum-error thresholding, Kittler & Illingworth 1986, doi 10.1016/0031-3203(86)90030-0). The gain over one
kind is positive for a small bright object, for which the variance that k-means explains says nothing, and negative
for one Gaussian cut in two, for which k-means explains 2/π. A split counts if its gain beats that of every one of
19 surrogates with the region's spectrum (which one Gaussian texture does in a twentieth of the cases) and 0.01.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dd_nnunet.core.fingerprint import SplitFingerprint
from dd_nnunet.planning.levels import MAX_LEVELS
from dd_nnunet.planning.surrogates import surrogates
from dd_nnunet.regions.foreground import Mask

Floats = npt.NDArray[np.floating[Any]]
MAX_CHILDREN = 3
N_SURROGATES = 19
# nats per voxel; skewed noise beats its Gaussian surrogates too, but hardly gains (benchmarks/split_gains.py)
MIN_GAIN = 0.01
# a third child must add at least half of what the first cut gained
THIRD_FACTOR = 1.5
# of the region; smaller kinds are left to the noise's tails
MIN_SHARE = 0.003
MIN_CHILD_VOXELS = 20
MIN_REGION_VOXELS = 200
# the others lie on outlines, whose values are between those of both sides
CALM_SHARE = 0.9
N_BINS = 128
TAIL_PERCENT = 0.1
# of the intensity range; less is no difference
RESOLUTION = 0.02


@dataclass(frozen=True)
class Split:
    """The best cut of a region into a number of kinds.

    Args:
        gain: nats per voxel that the code of the kinds is shorter than that of one kind.
        thresholds: between the kinds, rising; one fewer than kinds.
    """

    gain: float
    thresholds: tuple[float, ...]


def measure_splits(volume: Floats) -> tuple[SplitFingerprint, ...]:
    """Split the volume, then its parts, then theirs, as long as a split beats chance.

    Args:
        volume: [Z,Y,X] denoised (smoothed by about one voxel) intensities in [0,1].

    Returns:
        Every region that was tried, level by level and by the number of the part: within a level, part 0 owns most
        of the volume's outermost voxels and the others follow by falling size.
    """
    parts = [np.ones(volume.shape, dtype=bool)]
    steepness = _steepness(volume)
    found: list[SplitFingerprint] = []
    for level in range(1, MAX_LEVELS + 1):
        children: list[Mask] = []
        for number, part in enumerate(parts):
            tried, thresholds = _try_part(volume, steepness, part, (level, number))
            found += tried
            kinds = np.digitize(volume, thresholds)
            children += [part & (kinds == kind) for kind in range(len(thresholds) + 1)]
        if len(children) == len(parts):
            break
        parts = _in_order(children)
    return tuple(found)


def best_splits(values: Floats, max_children: int = MAX_CHILDREN) -> list[Split]:
    """The best cut into 2, 3, … kinds, by dynamic programming over a histogram of 128 bins.

    Of a kind with share p and standard deviation σ, a voxel costs log σ − log p nats (and a constant); of one kind
    alone, log σ. Variances are raised by that of differences that count as none (a fiftieth of the range).

    Args:
        values: intensities, any shape.
        max_children: at least 2.

    Returns:
        One per number of kinds; gain −inf where the values are too few or too alike to be cut.
    """
    low, high = np.percentile(values, (TAIL_PERCENT, 100 - TAIL_PERCENT))
    if high - low < RESOLUTION:
        return [Split(-np.inf, ())] * (max_children - 1)
    counts, edges = np.histogram(np.clip(values, low, high), N_BINS, (low, high))
    costs = _costs(counts / counts.sum(), (edges[:-1] + edges[1:]) / 2, MIN_CHILD_VOXELS / values.size)
    # best[j]: cheapest code of the bins before edge j
    best, cuts, splits = costs[0], [], []
    for _ in range(2, max_children + 1):
        totals = best[:, None] + costs
        cuts.append(totals.argmin(axis=0))
        best = totals.min(axis=0)
        at = [N_BINS]
        for earlier in reversed(cuts):
            at.insert(0, int(earlier[at[0]]))
        splits.append(Split(float(costs[0, N_BINS] - best[N_BINS]), tuple(edges[at[:-1]].tolist())))
    return splits


def _between(values: Floats, cuts: Sequence[float]) -> tuple[float, ...]:
    """Cuts moved to halfway between the brightest twentieth below them and the darkest twentieth above them."""
    kinds = np.digitize(values, cuts)
    sides = [np.percentile(values[kinds == kind], (5, 95)) for kind in range(len(cuts) + 1)]
    return tuple(float(below[1] + above[0]) / 2 for below, above in itertools.pairwise(sides))


def _costs(shares: Floats, centres: Floats, min_share: float) -> Floats:
    """Nats per voxel of the volume that the bins from edge i to edge j cost as one kind: [edge,edge]."""
    sums = [np.concatenate([[0.0], np.cumsum(shares * centres**power)]) for power in range(3)]
    share, first, second = (total[None, :] - total[:, None] for total in sums)
    enough = share >= max(MIN_SHARE, min_share)
    divisor = np.where(enough, share, 1.0)
    variance = np.maximum(second / divisor - (first / divisor) ** 2, 0.0) + RESOLUTION**2
    return np.where(enough, share * (np.log(variance) / 2 - np.log(divisor)), np.inf)


def _try_part(
    volume: Floats, steepness: Floats, part: Mask, place: tuple[int, int]
) -> tuple[list[SplitFingerprint], tuple[float, ...]]:
    """What was measured of a part at a place (level, number), and where it is cut; nothing if it is too small."""
    # without the rim, which smoothing mixed with what lies beside the part
    region = ndimage.binary_erosion(part, ndimage.generate_binary_structure(3, 2), border_value=1)
    if region.sum() < MIN_REGION_VOXELS:
        return [], ()
    values = volume[_calm(steepness, region)]
    real = best_splits(values)
    if np.isinf(real[0].gain):
        return [], ()
    by_chance = _gains_by_chance(volume, region, seed=place[0] * 1000 + place[1])
    chosen = _choose([split.gain for split in real], by_chance)
    split, chance = real[max(chosen, 2) - 2], by_chance[max(chosen, 2) - 2]
    record = SplitFingerprint(
        level=place[0],
        part=place[1],
        share=round(float(part.mean()), 4),
        children=chosen,
        gain=round(split.gain, 4),
        chance=round(chance, 4),
    )
    return [record], _between(values, split.thresholds) if chosen > 1 else ()


def _gains_by_chance(volume: Floats, region: Mask, seed: int) -> list[float]:
    """Per number of children, the largest gain among the surrogates of the region."""
    best = [-np.inf] * (MAX_CHILDREN - 1)
    inside: Mask = region[ndimage.find_objects(region.astype(np.uint8))[0]]
    for field in surrogates(volume, region, N_SURROGATES, seed):
        gains = [split.gain for split in best_splits(field[_calm(_steepness(field), inside)])]
        best = [max(pair) for pair in zip(best, gains, strict=True)]
    return best


def _choose(gains: Sequence[float], by_chance: Sequence[float]) -> int:
    """Number of children: 3, 2, or 1 where neither beats chance."""
    two, three = (g > max(c, MIN_GAIN) for g, c in zip(gains, by_chance, strict=True))
    if three and gains[1] >= THIRD_FACTOR * gains[0]:
        return 3
    return 2 if two else 1


def _steepness(volume: Floats) -> Floats:
    """Squared length of the gradient, voxel by voxel."""
    steps = (np.gradient(volume, axis=axis) for axis in range(3) if volume.shape[axis] > 1)
    total: Floats = np.sum([step**2 for step in steps], axis=0, dtype=np.float32)
    return total


def _calm(steepness: Floats, region: Mask) -> Mask:
    calm: Mask = region & (steepness <= np.quantile(steepness[region], CALM_SHARE))
    return calm


def _in_order(parts: Sequence[Mask]) -> list[Mask]:
    """Part 0 owns most of the outermost voxels, the others follow by falling size."""
    border = np.ones(parts[0].shape, dtype=bool)
    border[1:-1, 1:-1, 1:-1] = False
    outermost = max(range(len(parts)), key=lambda i: int(parts[i][border].sum()))
    return sorted(parts, key=lambda part: (part is not parts[outermost], -int(part.sum())))
