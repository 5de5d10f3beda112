import itertools

import numpy as np
import pytest

from dd_nnunet.regions.kinds import sort_into_kinds


def spread(features, volumes, kinds):
    """Squared distances to the kinds' centres, weighted by volume: the slow way."""
    total = 0.0
    for kind in set(kinds):
        members = [i for i, k in enumerate(kinds) if k == kind]
        centre = sum(volumes[i] * features[i] for i in members) / sum(volumes[i] for i in members)
        total += sum(volumes[i] * ((features[i] - centre) ** 2).sum() for i in members)
    return total


def test_kinds_by_hand():
    features = np.array([[0.9], [0.1], [0.8], [0.2]])
    assert sort_into_kinds(features, np.ones(4), 2).tolist() == [1, 0, 1, 0]
    assert sort_into_kinds(features, np.ones(4), 1).tolist() == [0, 0, 0, 0]
    assert sort_into_kinds(features, np.ones(4), 4).tolist() == [3, 0, 2, 1]


def test_large_objects_decide():
    features = np.array([[0.0], [0.4], [1.0]])
    assert sort_into_kinds(features, np.array([100.0, 100.0, 1.0]), 2).tolist() == [0, 1, 1]
    assert sort_into_kinds(features, np.array([1.0, 1.0, 100.0]), 2).tolist() == [0, 0, 1]


def test_fewer_objects_than_kinds():
    assert sort_into_kinds(np.array([[0.5]]), np.ones(1), 2).tolist() == [0]
    assert sort_into_kinds(np.array([[0.5], [0.1]]), np.ones(2), 3).tolist() == [1, 0]


def test_alike_objects_are_no_trouble():
    kinds = sort_into_kinds(np.full((5, 2), 0.3), np.ones(5), 2)
    assert len(kinds) == 5 and set(kinds.tolist()) <= {0, 1}


@pytest.mark.parametrize("seed", range(5))
def test_two_clear_kinds_are_the_best_of_all(seed):
    random = np.random.default_rng(seed)
    truth = np.array([0, 0, 0, 1, 1, 1, 1])
    features = np.array([[0.2, 0.5], [0.4, 0.9]])[truth] + random.normal(0, 0.06, (7, 2))
    volumes = random.uniform(10, 100, 7)
    best = min(
        spread(features, volumes, kinds)
        for kinds in itertools.product((0, 1), repeat=7)
        if len(set(kinds)) == 2
    )
    found = sort_into_kinds(features, volumes, 2)
    assert spread(features, volumes, found.tolist()) == pytest.approx(best)
