"""Outlines that are moved to where a volume changes."""

import numpy as np
import pytest
from balls_in_balls import ball, dice

from dd_nnunet.regions import outline
from dd_nnunet.regions.outline import sharp_outline

ONE_MM = (1.0, 1.0, 1.0)
SHAPE = (32, 32, 32)
CENTRE = (15.5, 15.5, 15.5)


def scene(inside, outside, noise, seed=0, shape=SHAPE):
    volume = np.full(shape, outside, np.float64)
    volume[ball(shape, CENTRE, 10)] = inside
    return (volume + np.random.default_rng(seed).normal(0, noise, shape)).astype(np.float32)


@pytest.mark.parametrize("found_radius", [8.5, 11.5])
@pytest.mark.parametrize(("inside", "outside"), [(0.6, 0.2), (0.2, 0.6)])
def test_too_small_and_too_large_objects_get_their_size(found_radius, inside, outside):
    truth, found = ball(SHAPE, CENTRE, 10), ball(SHAPE, CENTRE, found_radius)
    assert dice(found, truth) < 0.9
    assert dice(sharp_outline(found, scene(inside, outside, 0.1), ONE_MM), truth) > 0.98


def test_without_noise_the_outline_is_exact():
    found = ball(SHAPE, (15.5, 15.5, 14.5), 10)
    np.testing.assert_array_equal(
        sharp_outline(found, scene(0.6, 0.2, 1e-6), ONE_MM), ball(SHAPE, CENTRE, 10)
    )


def test_it_moves_by_two_voxels_and_no_more():
    found = ball(SHAPE, CENTRE, 7)
    sharp = sharp_outline(found, scene(0.6, 0.2, 0.02), ONE_MM)
    assert (sharp & ~ball(SHAPE, CENTRE, 8)).any()
    assert not (sharp & ~ball(SHAPE, CENTRE, 9)).any()


def test_brightness_that_drifts_does_not_move_it():
    drift = np.linspace(0, 1, 32)[:, None, None].astype(np.float32)
    volume = scene(0.4, 0.1, 0.02) + drift
    truth = ball(SHAPE, CENTRE, 10)
    # one threshold for all would call the far end inside, and the near end outside
    assert dice(volume > volume.mean(), truth) < 0.7
    assert dice(sharp_outline(ball(SHAPE, CENTRE, 11), volume, ONE_MM), truth) > 0.98


def test_where_nothing_changes_the_outline_stays():
    found = ball(SHAPE, CENTRE, 8)
    np.testing.assert_array_equal(sharp_outline(found, scene(0.4, 0.38, 0.1), ONE_MM), found)


def test_a_constant_background_is_exact():
    volume = scene(0.5, 0.0, 0.1)
    truth = ball(SHAPE, CENTRE, 10)
    volume[~truth] = 0
    np.testing.assert_array_equal(sharp_outline(ball(SHAPE, CENTRE, 9), volume, ONE_MM), truth)


@pytest.mark.parametrize("mask", [np.zeros(SHAPE, bool), np.ones(SHAPE, bool)])
def test_no_outline(mask):
    np.testing.assert_array_equal(sharp_outline(mask, scene(0.6, 0.2, 0.1), ONE_MM), mask)


def test_slices_that_lie_apart_move_the_outline_within_them_only():
    # slices of 5 mm, pixels of 1 mm: two mean voxel edges are 3.4 mm, less than a slice
    spacing = (5.0, 1.0, 1.0)
    shape = (8, 32, 32)
    z, y, x = np.ogrid[:8, :32, :32]
    truth = np.broadcast_to((z >= 2) & (z < 6) & ((y - 15.5) ** 2 + (x - 15.5) ** 2 < 100), shape)
    volume = np.where(truth, 0.6, 0.2) + np.random.default_rng(0).normal(0, 0.02, shape)
    found = np.broadcast_to((z >= 3) & (z < 6) & ((y - 15.5) ** 2 + (x - 15.5) ** 2 < 64), shape)
    sharp = sharp_outline(found, volume.astype(np.float32), spacing)
    np.testing.assert_array_equal(sharp[3:6], truth[3:6])
    assert not sharp[:3].any() and not sharp[6:].any()


def test_slabs_change_next_to_nothing(monkeypatch):
    volume, found = scene(0.6, 0.2, 0.1), ball(SHAPE, CENTRE, 9)
    whole = sharp_outline(found, volume, ONE_MM)
    monkeypatch.setattr(outline, "SLAB_VOXELS", 8 * 32 * 32)
    assert dice(sharp_outline(found, volume, ONE_MM), whole) > 0.998
