"""Baseline `kmeans`: voxel intensities of one image in K clusters, darkest first."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dd_nnunet.regions.intensity_classes import best_cuts

FloatImage = npt.NDArray[np.float32]
Parts = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float64]

N_BINS = 1024
N_SAMPLED = 20_000
N_STARTS = 5
MAX_ITERATIONS = 100
CHUNK_VOXELS = 1 << 19
SEED = 12345


def segment_by_kmeans(image: FloatImage, parts_per_level: Sequence[int]) -> tuple[Parts, ...]:
    """Cluster the voxels of one prepared case, each level on its own.

    One channel is solved exactly (`best_cuts`); several channels by k-means++ and Lloyd's iterations.

    Args:
        image: [C,Z,Y,X] in [0,1].
        parts_per_level: K of each level.

    Returns:
        Per level the parts [Z,Y,X], 0 … K-1 by rising mean intensity, so that a number means the same in
        every image. An image with fewer distinct intensities than K has fewer parts.
    """
    voxels = image.reshape(len(image), -1).astype(np.float64)  # [C,N]
    cluster = _cluster_one_channel if len(voxels) == 1 else _cluster_channels
    return tuple(cluster(voxels, k).reshape(image.shape[1:]) for k in parts_per_level)


def lloyd(voxels: Floats, centres: Floats) -> Floats:
    """Lloyd's iterations from centres [K,C] over voxels [C,N]; an empty cluster keeps its centre."""
    for _ in range(MAX_ITERATIONS):
        sums, counts = np.zeros_like(centres), np.zeros(len(centres))
        for start in range(0, voxels.shape[1], CHUNK_VOXELS):
            chunk = voxels[:, start : start + CHUNK_VOXELS]
            nearest = _nearest(chunk, centres)
            counts += np.bincount(nearest, minlength=len(centres))
            for channel, values in enumerate(chunk):
                sums[:, channel] += np.bincount(nearest, weights=values, minlength=len(centres))
        moved = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
        if np.allclose(moved, centres, rtol=0, atol=1e-6):
            return moved
        centres = moved
    return centres


def _cluster_one_channel(voxels: Floats, n_parts: int) -> Parts:
    """Exact k-means of the intensities, each replaced by the mean of its histogram bin of width 1/1024."""
    bins = np.minimum((voxels[0] * N_BINS).astype(np.intp), N_BINS - 1)
    counts = np.bincount(bins, minlength=N_BINS)
    used = np.flatnonzero(counts)
    means = np.bincount(bins, weights=voxels[0], minlength=N_BINS)[used] / counts[used]
    cuts = best_cuts(means, counts[used].astype(np.float64), min(n_parts, len(used)))
    part_of_bin = np.searchsorted(used[cuts], np.arange(N_BINS), side="right")
    return np.asarray(part_of_bin[bins], dtype=np.uint16)


def _cluster_channels(voxels: Floats, n_parts: int) -> Parts:
    random = np.random.default_rng(SEED)
    n_voxels = voxels.shape[1]
    sample = voxels[:, random.choice(n_voxels, min(N_SAMPLED, n_voxels), replace=False)]
    starts = [lloyd(sample, _spread_centres(sample, n_parts, random)) for _ in range(N_STARTS)]
    centres = lloyd(voxels, min(starts, key=lambda c: _error(sample, c)))
    centres = centres[np.argsort(centres.mean(axis=1), kind="stable")]
    return _nearest_of_all(voxels, centres)


def _spread_centres(sample: Floats, n_parts: int, random: np.random.Generator) -> Floats:
    """k-means++: each next centre is a voxel drawn with probability ∝ its squared distance to the others.

    Source: Arthur & Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
    """
    centres = sample[:, random.integers(sample.shape[1])][None]  # [1,C]
    for _ in range(n_parts - 1):
        distances = _squared_distances(sample, centres).min(axis=0)
        total = distances.sum()
        drawn = random.choice(len(distances), p=distances / total) if total > 0 else 0
        centres = np.concatenate([centres, sample[:, drawn][None]])
    return centres


def _squared_distances(voxels: Floats, centres: Floats) -> Floats:
    return np.stack([((voxels - centre[:, None]) ** 2).sum(axis=0) for centre in centres])  # [K,N]


def _nearest(voxels: Floats, centres: Floats) -> npt.NDArray[np.intp]:
    return np.asarray(_squared_distances(voxels, centres).argmin(axis=0), dtype=np.intp)


def _nearest_of_all(voxels: Floats, centres: Floats) -> Parts:
    starts = range(0, voxels.shape[1], CHUNK_VOXELS)
    chunks = [_nearest(voxels[:, start : start + CHUNK_VOXELS], centres) for start in starts]
    return np.concatenate(chunks).astype(np.uint16)


def _error(voxels: Floats, centres: Floats) -> float:
    return float(_squared_distances(voxels, centres).min(axis=0).sum())
