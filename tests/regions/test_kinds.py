import itertools

import numpy as np
import pytest

from dd_nnunet.regions.kinds import named, sort_into_kinds


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


def test_names_are_those_that_were_said():
    kinds, volumes = np.array([0, 0, 1]), np.array([10.0, 10.0, 10.0])
    # one of the first group was said to be of kind 1, and most of the last to be of kind 0
    said = np.array([[2.0, 8.0], [2.0, 8.0], [7.0, 3.0]])
    assert named(kinds, volumes, said).tolist() == [1, 1, 0]
    assert named(kinds, volumes, said[:, ::-1]).tolist() == [0, 0, 1]


def test_names_are_kept_where_nothing_tells_them_apart():
    kinds, volumes = np.array([0, 1]), np.array([10.0, 10.0])
    assert named(kinds, volumes, np.zeros((2, 2))).tolist() == [0, 1]
    # one kind was never said
    assert named(kinds, volumes, np.array([[0.0, 10.0], [0.0, 10.0]])).tolist() == [0, 1]
    # a single group is what was said of it
    assert named(np.zeros(2, int), volumes, np.array([[1.0, 9.0], [1.0, 9.0]])).tolist() == [1, 1]


@pytest.mark.parametrize("seed", range(5))
def test_names_have_the_largest_dice_of_all(seed):
    random = np.random.default_rng(seed)
    kinds, said = random.integers(0, 3, 7), random.random((7, 3)) * 10
    volumes = said.sum(axis=1) + random.random(7)

    def total(names):
        dice = 0.0
        for kind, name in enumerate(names):
            of_kind = kinds == kind
            dice += 2 * said[of_kind, name].sum() / (volumes[of_kind].sum() + said[:, name].sum())
        return dice

    best = max(itertools.permutations(range(3)), key=total)
    assert named(kinds, volumes, said).tolist() == np.array(best)[kinds].tolist()


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
