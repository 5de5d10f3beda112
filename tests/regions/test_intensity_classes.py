import itertools

import numpy as np
import pytest

from dd_nnunet.regions.intensity_classes import best_cuts, class_thresholds


def error_of(values, weights, cuts):
    """Squared error of the runs that the cuts make."""
    total = 0.0
    for start, stop in itertools.pairwise([0, *cuts, len(values)]):
        v, w = values[start:stop], weights[start:stop]
        total += (w * (v - np.average(v, weights=w)) ** 2).sum()
    return total


def test_cuts_by_hand():
    values, weights = np.array([0.0, 0.1, 0.5, 0.9, 1.0]), np.ones(5)
    assert best_cuts(values, weights, 1).tolist() == []
    assert best_cuts(values, weights, 3).tolist() == [2, 3]
    assert best_cuts(values, weights, 5).tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("n_parts", [2, 3, 4])
def test_cuts_are_the_best_of_all_cuts(n_parts):
    random = np.random.default_rng(n_parts)
    values, weights = np.sort(random.random(9)), random.integers(1, 20, 9).astype(float)
    best = min(error_of(values, weights, cuts) for cuts in itertools.combinations(range(1, 9), n_parts - 1))
    assert error_of(values, weights, best_cuts(values, weights, n_parts)) == pytest.approx(best)


def test_thresholds_lie_between_classes():
    values = np.repeat([0.0, 0.1, 0.5, 0.9, 1.0], [5, 5, 7, 3, 3])
    np.testing.assert_allclose(class_thresholds(values, 3), [0.3, 0.7], atol=0.002)
    np.testing.assert_allclose(class_thresholds(values, 2), [0.3], atol=0.002)
    assert class_thresholds(np.full(4, 0.5), 3).size == 0
