import numpy as np
import pytest

from dd_nnunet.core.plan import NormalizationPlan
from dd_nnunet.preprocessing.normalize import intensity_range, scale_to_unit

PLAN = NormalizationPlan("percentile", 10, 90)


def test_percentiles_of_the_foreground():
    channel = np.arange(22, dtype=np.float32).reshape(1, 2, 11)
    foreground = channel >= 11
    # 11 … 21: the 10th percentile lies 1, the 90th 9 steps from the first
    assert intensity_range(channel, foreground, PLAN) == (12.0, 20.0)


def test_without_foreground_all_voxels_count():
    channel = np.arange(11, dtype=np.float32).reshape(1, 1, 11)
    assert intensity_range(channel, np.zeros(channel.shape, bool), PLAN) == (1.0, 9.0)


def test_scaling_by_hand():
    scaled = scale_to_unit(np.array([0.0, 10, 15, 20, 99], np.float32), (10.0, 20.0))
    np.testing.assert_array_equal(scaled, np.array([0, 0, 0.5, 1, 1], np.float32))
    assert scaled.dtype == np.float32


def test_a_range_of_no_width_gives_zeros():
    np.testing.assert_array_equal(scale_to_unit(np.array([3.0, 5.0], np.float32), (4.0, 4.0)), [0, 0])


def test_one_voxel_does_not_decide_the_scale():
    channel = np.random.default_rng(0).uniform(0, 1, (20, 20, 20)).astype(np.float32)
    channel[3, 3, 3] = 1e6
    low, high = intensity_range(
        channel, np.ones(channel.shape, bool), NormalizationPlan("percentile", 0.5, 99.5)
    )
    assert (low, high) == pytest.approx((0.005, 0.995), abs=0.005)


def test_minimum_and_maximum_of_all_voxels():
    channel = np.arange(22, dtype=np.float32).reshape(1, 2, 11)
    plan = NormalizationPlan("min_max", 0, 100)
    assert intensity_range(channel, channel >= 11, plan) == (0.0, 21.0)
    with pytest.raises(ValueError, match="percentiles 0 and 100"):
        NormalizationPlan("min_max", 0.5, 99.5)


def test_a_window_is_the_same_in_every_case():
    plan = NormalizationPlan("ct_window", 0.5, 99.5, (-1000.0, 1000.0))
    for channel in (np.full((2, 2, 2), -2000.0), np.arange(8.0).reshape(2, 2, 2)):
        assert intensity_range(channel, channel > 3, plan) == (-1000.0, 1000.0)
