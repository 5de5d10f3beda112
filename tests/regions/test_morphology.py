import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from dd_nnunet.regions.morphology import (
    ball,
    closed,
    components,
    dilated,
    eroded,
    filled,
    filled_up_to_faces,
    opened,
    without_small,
    without_small_beside_largest,
)


def random_mask(shape=(9, 10, 11)):
    return np.random.default_rng(0).random(shape) < 0.6


def test_balls_by_hand():
    cross = np.zeros((3, 3, 3), bool)
    cross[1, 1, :] = cross[1, :, 1] = cross[:, 1, 1] = True
    np.testing.assert_array_equal(ball(1.0, (2.0, 2.0, 2.0)), cross)
    assert ball(1.0, (1.0, 1.0, 1.0)).sum() == 7
    assert ball(1.5, (1.0, 1.0, 1.0)).sum() == 19
    assert ball(2.0, (1.0, 1.0, 1.0)).sum() == 33
    assert ball(0.5, (1.0, 1.0, 1.0)).shape == (1, 1, 1)


def test_thick_slices_are_reached_later():
    # edges of 2, 0.707 and 0.707 mean edges: the ball of radius 1 lies in one slice
    assert ball(1.0, (4.0, 1.4142136, 1.4142136)).shape == (1, 3, 3)


@pytest.mark.parametrize("radius", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 1.0, 1.5)])
def test_erosion_and_dilation_are_distances(radius, spacing):
    mask, unit = random_mask(), np.prod(spacing) ** (1 / 3)
    structure = ball(radius, spacing)
    depth = distance_transform_edt(mask, sampling=spacing) / unit
    height = distance_transform_edt(~mask, sampling=spacing) / unit
    np.testing.assert_array_equal(eroded(mask, structure), depth > radius + 1e-9)
    np.testing.assert_array_equal(dilated(mask, structure), height <= radius + 1e-9)


def test_openings_shrink_and_closings_grow_and_both_only_once():
    mask, structure = random_mask(), ball(1.0, (1.0, 1.0, 1.0))
    assert (opened(mask, structure) <= mask).all() and (closed(mask, structure) >= mask).all()
    for step in (opened, closed):
        np.testing.assert_array_equal(step(step(mask, structure), structure), step(mask, structure))


def test_nothing_is_eroded_from_the_faces():
    assert eroded(np.ones((4, 4, 4), bool), ball(2.0, (1.0, 1.0, 1.0))).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("end", [0, -1])
def test_a_cavity_that_a_face_cuts_open_is_filled_and_a_groove_is_not(axis, end):
    body = np.zeros((6, 9, 11), bool)
    body[:, 1:8, 1:10] = True
    pit, groove = body.copy(), body.copy()
    pit[:4, 3:5, 3:6] = False
    # open on the side too
    groove[:4, :5, 3:6] = False
    for whole, has_hole in ((pit, True), (groove, False)):
        moved = np.moveaxis(whole[:: 1 if end == 0 else -1], 0, axis)
        assert (filled(moved) == moved).all()
        found = np.moveaxis(filled_up_to_faces(moved), axis, 0)[:: 1 if end == 0 else -1]
        np.testing.assert_array_equal(found, body if has_hole else groove)


def test_what_is_enclosed_is_filled_in_a_single_slice_too():
    ring = np.ones((1, 5, 5), bool)
    ring[0, 2, 2] = ring[0, 0, 0] = False
    expected = ring.copy()
    expected[0, 2, 2] = True
    np.testing.assert_array_equal(filled_up_to_faces(ring), expected)
    closed_box = np.pad(np.zeros((2, 2, 2), bool), 1, constant_values=True)
    assert filled_up_to_faces(closed_box).all()


def test_small_components_go():
    mask = np.zeros((1, 1, 10), bool)
    mask[0, 0, [0, 1, 2, 5, 6, 9]] = True
    assert np.flatnonzero(without_small(mask, 2)).tolist() == [0, 1, 2, 5, 6]
    assert np.flatnonzero(without_small(mask, 2.5)).tolist() == [0, 1, 2]
    assert not without_small(mask, 4).any()
    assert not without_small(np.zeros((2, 2, 2), bool), 0).any()


def test_components_with_a_margin():
    labels = np.zeros((1, 1, 9), np.intp)
    labels[0, 0, [2, 3]], labels[0, 0, 7] = 1, 3
    found = [(number, box[2], mask.ravel().tolist()) for number, box, mask in components(labels, 1)]
    assert found == [
        (1, slice(1, 5), [False, True, True, False]),
        (3, slice(6, 9), [False, True, False]),
    ]


@pytest.mark.parametrize(("share", "kept"), [(0.0, 7), (0.25, 7), (0.26, 6), (0.5, 6), (0.51, 4), (1.0, 4)])
def test_what_is_small_beside_the_largest(share, kept):
    # 4, 2 and 1 voxels
    row = np.array([1, 1, 1, 1, 0, 1, 1, 0, 1], bool).reshape(1, 1, -1)
    assert without_small_beside_largest(row, share).sum() == kept
    assert not without_small_beside_largest(np.zeros((1, 1, 3), bool), share).any()
