"""The best k-means clustering of numbers, exactly."""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
N_BINS = 512


def best_cuts(values: Floats, weights: Floats, n_parts: int) -> npt.NDArray[np.intp]:
    """The optimal k-means clustering of sorted numbers: contiguous runs, found by dynamic programming.

    With prefix sums the squared error of a run i…j is S2 - S1²/S0, and the best error of the first j numbers
    in k runs is the smallest of (best error of the numbers before i in k-1 runs) + (error of i…j).

    Args:
        values: [B], rising.
        weights: [B], above 0: how often each value occurs.
        n_parts: K ≤ B.

    Returns:
        [K-1] the first index of every run but the first.

    Source: Wang & Song, "Ckmeans.1d.dp", The R Journal 3/2 (2011).
    """
    error = _run_errors(values, weights)  # [B,B]
    best = error[0]
    starts = []
    for _ in range(n_parts - 1):
        # run i…j after the best clustering of the numbers before i
        candidates = np.concatenate([[np.inf], best[:-1]])[:, None] + error  # [B (start), B (end)]
        starts.append(candidates.argmin(axis=0))
        best = candidates.min(axis=0)
    cuts, end = [], len(values) - 1
    for start_of_run in reversed(starts):
        cuts.append(start_of_run[end])
        end = start_of_run[end] - 1
    return np.array(cuts[::-1], dtype=np.intp)


def class_thresholds(values: npt.NDArray[np.floating[Any]], n_classes: int) -> Floats:
    """Intensities between the classes of the best k-means clustering, over a histogram of 512 bins.

    Args:
        values: any shape, at least one.
        n_classes: at least 2.

    Returns:
        [n_classes-1] rising; fewer where there are fewer distinct values.
    """
    counts, edges = np.histogram(values, N_BINS)
    used = counts > 0
    centres, weights = ((edges[1:] + edges[:-1]) / 2)[used], counts[used].astype(np.float64)
    cuts = best_cuts(centres, weights, min(n_classes, len(centres)))
    return np.asarray((centres[cuts - 1] + centres[cuts]) / 2)


def _run_errors(values: Floats, weights: Floats) -> Floats:
    """Squared error of every run i…j around its mean, [B,B]; infinite for j < i."""
    prefix = np.zeros((3, len(values) + 1))
    prefix[:, 1:] = np.cumsum([weights, weights * values, weights * values**2], axis=1)
    s0, s1, s2 = prefix[:, None, 1:] - prefix[:, :-1, None]  # each [B (start), B (end)]
    is_run = np.triu(np.ones_like(s0, dtype=bool))
    errors = s2 - s1**2 / np.where(is_run, s0, 1.0)
    return np.where(is_run, np.maximum(errors, 0.0), np.inf)
