import numpy as np
import pytest
from balls_in_balls import ball, nested_balls

from dd_nnunet.regions.sub_objects import (
    Usual,
    find_cores,
    find_sub_objects,
    share_of_sub_objects,
    split_touching,
)

ONE_MM = (1.0, 1.0, 1.0)


def test_what_is_usual_by_hand():
    volume = np.zeros((9, 9, 9))
    region = np.zeros((9, 9, 9), bool)
    region[1:8, 1:8, 1:8] = True
    # the rim of 1.5 voxels is one voxel on each side, edges included
    inside = np.zeros_like(region)
    inside[2:7, 2:7, 2:7] = True
    volume[inside] = np.tile([0.4, 0.5, 0.6, 0.5, 0.4], 25)
    usual = Usual.of(volume, region, ONE_MM)
    np.testing.assert_array_equal(usual.inside, inside)
    assert usual.median == pytest.approx(0.5)
    assert usual.sd == pytest.approx(1.4826 * 0.1)


def test_too_little_to_be_usual():
    region = np.zeros((9, 9, 9), bool)
    region[3:6, 3:6, 3:6] = True
    assert Usual.of(np.zeros((9, 9, 9)), region, ONE_MM) is None


def test_outlines_lie_at_half_of_the_height():
    # a ball of radius 4 blurred over one voxel: half of its height is at its radius
    distance = np.sqrt(((np.indices((25, 25, 25)) - 12) ** 2).sum(axis=0))
    volume = 0.3 + 0.4 * np.clip(4.5 - distance, 0, 1)
    volume += np.random.default_rng(0).normal(0, 0.02, volume.shape)
    usual = Usual.of(volume, np.ones(volume.shape, bool), ONE_MM)
    found = find_sub_objects(volume, usual, 20, ONE_MM)
    assert found.max() == 1
    radius = (3 * (found > 0).sum() / (4 * np.pi)) ** (1 / 3)
    assert 3.8 <= radius <= 4.4


def test_a_ball_in_thick_slices_is_found_whole():
    # radius 8 mm in slices of 4 mm
    away = np.indices((13, 41, 41)) - np.array([6, 20, 20]).reshape(3, 1, 1, 1)
    inside = np.sqrt(((away * np.array([4.0, 1.0, 1.0]).reshape(3, 1, 1, 1)) ** 2).sum(axis=0)) <= 8
    volume = 0.3 + 0.4 * inside + np.random.default_rng(0).normal(0, 0.02, inside.shape)
    spacing = (4.0, 1.0, 1.0)
    usual = Usual.of(volume, np.ones(inside.shape, bool), spacing)
    found = find_sub_objects(volume, usual, 20, spacing) > 0
    assert 2 * (found & inside).sum() / (found.sum() + inside.sum()) > 0.9


@pytest.mark.parametrize("height", [0.3, -0.3])
def test_cores_bright_and_dark(height):
    shape, whole = (10, 10, 10), (20, 20, 20)
    object_, core = ball(shape, (5, 5, 5), 4), ball(shape, (5, 5, 5), 1.5)
    volume = 0.3 + np.random.default_rng(0).normal(0, 0.02, whole)
    usual = Usual.of(volume, np.ones(whole, bool), ONE_MM)
    box = volume[:10, :10, :10] + 0.3 * object_ + height * core
    ((place, found),) = find_cores(box, object_, usual, 5, ONE_MM)
    painted = np.zeros(shape, bool)
    painted[place][found] = True
    np.testing.assert_array_equal(painted, core)
    assert not list(find_cores(box, object_, usual, 100, ONE_MM))


def test_shares_of_sub_objects():
    image, truth = nested_balls(noise=0.02)
    usual = Usual.of(image, truth[0] > 0, ONE_MM)
    share = share_of_sub_objects(image, usual, 20, ONE_MM)
    true = ((truth[1] >= 2) & usual.inside).sum() / usual.inside.sum()
    assert share == pytest.approx(true, rel=0.1)
    assert share_of_sub_objects(image, usual, 1000, ONE_MM) == 0


def test_touching_balls_are_cut_and_small_ones_kept():
    shape = (12, 12, 24)
    two = ball(shape, (6, 6, 6), 4) | ball(shape, (6, 6, 13), 4)
    small = ball(shape, (6, 6, 21), 1)
    found = split_touching(two | small)
    assert found.max() == 3 and ((found > 0) == (two | small)).all()
    assert found[6, 6, 6] != found[6, 6, 13]
    assert (found == found[6, 6, 21]).sum() == small.sum() == 7
