import math

import numpy as np
import pytest

from dd_nnunet.regions import own_means
from dd_nnunet.regions.own_means import (
    PRIOR_WEIGHT,
    ROUNDS,
    SMALLEST_PROBABILITY,
    OwnMeans,
    divide_by_own_means,
)


def slowly(values, prior, rounds):
    """The equations, voxel by voxel and part by part."""
    n_parts, (n_channels, n_voxels) = len(prior), values.shape
    start = [[prior[k][u] + SMALLEST_PROBABILITY for u in range(n_voxels)] for k in range(n_parts)]
    r = [
        [start[k][u] / sum(start[j][u] for j in range(n_parts)) for u in range(n_voxels)]
        for k in range(n_parts)
    ]
    for step in range(rounds + 1):
        z = [
            [sum(r[k][u] * values[c][u] for u in range(n_voxels)) / sum(r[k]) for c in range(n_channels)]
            for k in range(n_parts)
        ]
        variance = [
            sum(r[k][u] * (values[c][u] - z[k][c]) ** 2 for k in range(n_parts) for u in range(n_voxels))
            / n_voxels
            for c in range(n_channels)
        ]
        if step == rounds:
            return z, [math.sqrt(v) for v in variance]
        for u in range(n_voxels):
            weights = [
                prior[k][u] ** PRIOR_WEIGHT
                * math.exp(-sum((values[c][u] - z[k][c]) ** 2 / (2 * variance[c]) for c in range(n_channels)))
                for k in range(n_parts)
            ]
            for k in range(n_parts):
                r[k][u] = weights[k] / sum(weights)


def test_means_and_sd_are_those_of_the_equations():
    random = np.random.default_rng(0)
    values, prior = random.random((2, 12)), random.uniform(0.1, 1, (3, 12))
    found = OwnMeans.fit(values, prior)
    means, sd = slowly(values, prior, ROUNDS)
    assert found.means == pytest.approx(np.array(means)) and found.sd == pytest.approx(np.array(sd))


def volume_of(*intensities):
    """[1,1,1,n]."""
    return np.array(intensities, np.float32).reshape(1, 1, 1, -1)


def prior_of(*parts):
    """[K,1,1,n] of as many probabilities per part."""
    return np.array(parts, np.float16)[:, None, None]


def test_a_case_that_is_darker_than_others_is_divided_by_its_own_means():
    # the network, used to brighter ones, is sure of the last voxel only
    volume = volume_of(0.1, 0.11, 0.1, 0.4, 0.41, 0.4, 0.5)
    prior = prior_of([0.9] * 3 + [0.7] * 3 + [0.1], [0.1] * 3 + [0.3] * 3 + [0.9])
    assert divide_by_own_means(volume, prior, None, (0, 0)).ravel().tolist() == [0, 0, 0, 1, 1, 1, 1]


def test_where_intensities_say_nothing_the_network_decides():
    volume, prior = volume_of(*[0.5] * 4), prior_of([0.9, 0.6, 0.4, 0.2], [0.1, 0.4, 0.6, 0.8])
    assert divide_by_own_means(volume, prior, None, (0, 0)).ravel().tolist() == [0, 0, 1, 1]


def test_parts_stay_within_the_part_above():
    volume = volume_of(0.1, 0.9, 0.1, 0.5, 0.9, 0.9)
    above = np.array([0, 0, 1, 1, 1, 1], np.uint8).reshape(1, 1, -1)
    prior = prior_of([1.0] * 6, [0.5] * 6, [0.5, 0.5, 0.4, 0.4, 0.6, 0.6])
    prior[1, ..., 2:4] = 0.6
    prior[1, ..., 4:] = 0.4
    found = divide_by_own_means(volume, prior, above, (0, 1, 1)).ravel().tolist()
    # part 0 has one child; part 1 is split in a dark and a bright one
    assert found[:2] == [0, 0] and found[2] == 1 and found[4:] == [2, 2]


def test_a_part_above_that_is_nowhere_is_passed_over():
    prior = prior_of([1.0, 1.0], [0.5, 0.5], [0.5, 0.5])
    above = np.zeros((1, 1, 2), np.uint8)
    assert divide_by_own_means(volume_of(0.1, 0.2), prior, above, (0, 1, 1)).ravel().tolist() == [0, 0]


def test_a_child_that_the_network_never_sees_gets_nothing_however_dark_it_is():
    volume = volume_of(*[0.0] * 3, *[0.5] * 3, *[0.9] * 3)
    prior = prior_of([0.0] * 9, [0.6] * 6 + [0.4] * 3, [0.4] * 6 + [0.6] * 3)
    found = divide_by_own_means(volume, prior, None, (0, 0, 0)).ravel()
    assert 0 not in found and found[0] == 1 and found[-1] == 2


def test_voxels_that_no_child_was_expected_in_go_by_intensity():
    volume = volume_of(*[0.1] * 4, *[0.9] * 4)
    prior = prior_of([0.9] * 3 + [0.0] + [0.1] * 3 + [0.0], [0.1] * 3 + [0.0] + [0.9] * 3 + [0.0])
    assert divide_by_own_means(volume, prior, None, (0, 0)).ravel().tolist() == [0] * 4 + [1] * 4


def test_means_are_fitted_to_a_sample_of_large_volumes(monkeypatch):
    monkeypatch.setattr(own_means, "FIT_VOXELS", 100)
    drawn = []
    fit = OwnMeans.fit.__func__

    def spied(cls, values, prior):
        drawn.append(values.shape)
        return fit(cls, values, prior)

    monkeypatch.setattr(OwnMeans, "fit", classmethod(spied))
    volume = np.repeat([0.2, 0.8], 500).astype(np.float32).reshape(1, 10, 10, 10)
    prior = np.stack([1 - volume[0], volume[0]]).astype(np.float16)
    assert divide_by_own_means(volume, prior, None, (0, 0)).reshape(2, -1).tolist() == [[0] * 500, [1] * 500]
    assert drawn == [(1, 100)]
