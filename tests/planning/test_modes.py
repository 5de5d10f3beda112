import numpy as np
import pytest

from dd_nnunet.planning.modes import intensity_modes


def normal(mean, sd, n, seed=0):
    return np.random.default_rng(seed).normal(mean, sd, n)


def test_two_classes_of_known_separation():
    values = np.concatenate([normal(0.2, 0.05, 40_000), normal(0.8, 0.05, 20_000, 1)])
    count, separation = intensity_modes(values)
    assert count == 2
    # √2 · 0.6 / √(2 · 0.05²)
    assert separation == pytest.approx(12.0, rel=0.02)


def test_three_classes_count_and_the_two_largest_are_compared():
    values = np.concatenate(
        [normal(0.1, 0.02, 30_000), normal(0.5, 0.04, 30_000, 1), normal(0.9, 0.02, 10_000, 2)]
    )
    count, separation = intensity_modes(values)
    assert count == 3
    assert separation == pytest.approx(np.sqrt(2) * 0.4 / np.hypot(0.02, 0.04), rel=0.02)


def test_one_class_has_no_separation():
    assert intensity_modes(normal(0.5, 0.1, 50_000)) == (1, 0.0)
    assert intensity_modes(np.full((4, 4, 4), 0.3)) == (1, 0.0)


def test_modes_at_the_ends_of_the_range_count_and_exact_classes_are_as_far_apart_as_can_be():
    assert intensity_modes(np.repeat([0.0, 1.0], 500)) == (2, 100.0)


def test_a_dent_below_a_fiftieth_of_the_peak_is_no_valley():
    # a plateau with a dent of 0.8 %
    values = np.concatenate(
        [np.linspace(0.2, 0.8, 60_000), np.linspace(0.2, 0.45, 200), np.linspace(0.55, 0.8, 100)]
    )
    assert intensity_modes(values)[0] == 1
