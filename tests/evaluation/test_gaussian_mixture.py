import math

import numpy as np
import pytest

from dd_nnunet.evaluation.baselines.gaussian_mixture import Mixture, fit_mixture, maximise

MIXTURE = Mixture(
    np.array([0.25, 0.75]), np.array([[0.0, 1.0], [2.0, -1.0]]), np.array([[1.0, 4.0], [0.25, 9.0]])
)


def log_normal(x, mean, variance):
    return -0.5 * (math.log(2 * math.pi * variance) + (x - mean) ** 2 / variance)


def test_densities_are_products_of_normal_ones():
    points = np.random.default_rng(0).normal(0, 2, (5, 2))
    found = MIXTURE.log_densities(points)
    for point, row in zip(points, found, strict=True):
        for k, value in enumerate(row):
            expected = math.log(MIXTURE.shares[k])
            for x, mean, variance in zip(point, MIXTURE.means[k], MIXTURE.variances[k], strict=True):
                expected += log_normal(x, mean, variance)
            assert value == pytest.approx(expected, rel=1e-12)


def test_a_density_by_hand():
    one = Mixture(np.array([1.0]), np.array([[3.0]]), np.array([[4.0]]))
    # two standard deviations away: 1/(2·sqrt(2π)) · e^-2
    assert np.exp(one.log_densities(np.array([[7.0]]))).item() == pytest.approx(0.0269955, rel=1e-5)


def test_the_most_probable_component_need_not_be_the_nearest():
    wide = Mixture(np.array([0.5, 0.5]), np.array([[0.0], [10.0]]), np.array([[25.0], [0.01]]))
    assert wide.assign(np.array([[0.0], [8.0], [10.0]])).tolist() == [0, 0, 1]


def test_known_members_give_means_and_variances():
    points = np.array([[0.0], [2.0], [10.0], [14.0]])
    members = np.eye(2)[[0, 0, 1, 1]]
    mixture = maximise(points, np.ones(4), members, np.array([0.5]))
    np.testing.assert_allclose(mixture.shares, [0.5, 0.5])
    np.testing.assert_allclose(mixture.means, [[1.0], [12.0]])
    np.testing.assert_allclose(mixture.variances, [[1.5], [4.5]])
    # a point that occurs three times counts as three: mean 1.5, variance 0.75
    thrice = maximise(points, np.array([1.0, 3.0, 1.0, 1.0]), members, np.array([0.0]))
    np.testing.assert_allclose(thrice.means[0], 1.5)
    np.testing.assert_allclose(thrice.variances[0], 0.75)
    np.testing.assert_allclose(thrice.shares, [4 / 6, 2 / 6])


def slow_step(points, mixture):
    """One iteration by loops over points, components and dimensions."""
    n, d = points.shape
    k = len(mixture.shares)
    memberships = np.zeros((n, k))
    for i in range(n):
        terms = [
            mixture.shares[j]
            * math.exp(sum(log_normal(points[i, a], mixture.means[j, a], mixture.variances[j, a]) for a in range(d)))
            for j in range(k)
        ]  # fmt: skip
        memberships[i] = [term / sum(terms) for term in terms]
    means, variances = np.zeros((k, d)), np.zeros((k, d))
    for j in range(k):
        total = sum(memberships[i, j] for i in range(n))
        for a in range(d):
            means[j, a] = sum(memberships[i, j] * points[i, a] for i in range(n)) / total
            variances[j, a] = (
                sum(memberships[i, j] * (points[i, a] - means[j, a]) ** 2 for i in range(n)) / total
            )
    return Mixture(memberships.mean(axis=0), means, variances)


def test_a_fit_is_the_loop_repeated():
    random = np.random.default_rng(1)
    points = np.concatenate([random.normal(0, 1, (20, 3)), random.normal(1.5, 0.5, (15, 3))])
    start = np.repeat([0, 1], [18, 17])
    expected = maximise(points, np.ones(35), np.eye(2)[start], np.zeros(3))
    for _ in range(200):
        expected = slow_step(points, expected)
    found = fit_mixture(points, np.ones(35), start, 2)
    # the fit ends earlier, and keeps variances from 0
    np.testing.assert_allclose(found.means, expected.means, atol=0.1)
    np.testing.assert_allclose(found.variances, expected.variances, atol=0.1)
    np.testing.assert_array_equal(found.assign(points), expected.assign(points))


def test_as_likely_as_that_of_scikit_learn():
    mixture = pytest.importorskip("sklearn.mixture")
    random = np.random.default_rng(2)
    points = np.concatenate([random.normal(m, s, (300, 4)) for m, s in ((0, 1), (3, 0.5), (-2, 2))])
    start = np.repeat([0, 1, 2], 300)
    ours = fit_mixture(points, np.ones(900), start, 3)
    theirs = mixture.GaussianMixture(3, covariance_type="diag", random_state=0, n_init=3).fit(points)
    likelihood = np.logaddexp.reduce(ours.log_densities(points), axis=1).mean()
    assert likelihood >= theirs.score(points) - 2e-3


def test_no_component_shrinks_to_nothing():
    points = np.array([[0.0, 1.0], [0.0, 1.0], [5.0, 1.0], [9.0, 1.0]])
    found = fit_mixture(points, np.ones(4), np.array([0, 0, 1, 2]), 3)
    assert (found.variances > 0).all() and np.isfinite(found.log_densities(points)).all()
    assert found.assign(points).tolist() == [0, 0, 1, 2]


def test_a_point_far_from_all_components_does_not_spoil_the_fit():
    points = np.array([[0.0], [0.1], [1.0], [1.1], [1e4]])
    found = fit_mixture(points, np.array([100.0, 100, 100, 100, 1]), np.array([0, 0, 0, 0, 1]), 2)
    assert np.isfinite(found.means).all()
    assert found.assign(points).tolist() == [0, 0, 0, 0, 1]
