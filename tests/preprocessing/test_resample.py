import numpy as np
import pytest
from scipy import ndimage

from dd_nnunet.preprocessing.resample import (
    LINEAR,
    NEAREST,
    average_axis,
    coarse_axis,
    neighbours,
    resample_axis,
    resample_image,
)


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_the_coarse_axis_is_over_three_times_all_others():
    assert coarse_axis((1.0, 1.0, 1.0)) is None
    assert coarse_axis((3.0, 1.0, 1.0)) is None
    assert coarse_axis((3.1, 1.0, 1.0)) == 0
    assert coarse_axis((1.0, 1.0, 4.0)) == 2
    assert coarse_axis((4.0, 1.0, 2.0)) is None


def test_doubling_an_axis_linearly_by_hand():
    # new centres lie at -1/4, 1/4, 3/4, 5/4 of old cells, clamped at the edges
    np.testing.assert_allclose(resample_axis(np.array([0.0, 4.0]), 0, 4, LINEAR), [0, 1, 3, 4])


def test_halving_an_axis_linearly_takes_means():
    np.testing.assert_allclose(resample_axis(np.array([0.0, 2, 10, 20]), 0, 2, LINEAR), [1, 15])


def test_the_nearest_voxel_by_hand():
    values = np.array([5, 6, 7], np.uint8)
    np.testing.assert_array_equal(resample_axis(values, 0, 6, NEAREST), [5, 5, 6, 6, 7, 7])
    np.testing.assert_array_equal(resample_axis(values, 0, 1, NEAREST), [6])
    assert resample_axis(values, 0, 6, NEAREST).dtype == np.uint8


@pytest.mark.parametrize(("old", "new"), [(5, 8), (8, 5), (7, 7), (1, 3), (9, 1)])
@pytest.mark.parametrize("order", [NEAREST, LINEAR])
def test_slow_loop(old, new, order):
    values = noise(old)
    expected = []
    for i in range(new):
        centre = min(max((i + 0.5) * old / new - 0.5, 0), old - 1)
        if order == NEAREST:
            expected.append(values[int(np.floor(centre + 0.5))])
        else:
            below = int(np.floor(centre))
            above = min(below + 1, old - 1)
            expected.append(values[below] * (1 - (centre - below)) + values[above] * (centre - below))
    np.testing.assert_allclose(resample_axis(values, 0, new, order), expected, rtol=1e-5, atol=1e-6)


def test_a_part_of_the_new_axis_is_a_part_of_the_whole():
    values = noise(3, 11, 4)
    whole = resample_axis(values, 1, 17, LINEAR)
    near = neighbours(11, 17, LINEAR, slice(5, 8))
    # new centres 5, 6 and 7 lie at 3.06, 3.71 and 4.35 old cells
    assert near.needed == slice(3, 6)
    np.testing.assert_array_equal(near.blend(values, 1), whole[:, 5:8])
    np.testing.assert_array_equal(near.blend(values[:, 3:6], 1, first=3), whole[:, 5:8])


def test_the_same_size_is_the_same_array():
    values = noise(4, 5, 6)
    np.testing.assert_array_equal(resample_axis(values, 2, 6, LINEAR), values)
    assert resample_image(values, (4, 5, 6), None) is values


def test_cubic_resampling_keeps_the_place_of_a_blob():
    # a voxel is a cell: the same point in space has the same share of the edge before and after
    z, y, x = np.indices((20, 24, 30))
    place = np.array([0.6, 0.4, 0.3])
    blob = np.exp(
        -(((z + 0.5) / 20 - 0.6) ** 2 + ((y + 0.5) / 24 - 0.4) ** 2 + ((x + 0.5) / 30 - 0.3) ** 2) / 0.02
    )
    resampled = resample_image(blob.astype(np.float32), (31, 17, 45), None)
    centre = (np.array(ndimage.center_of_mass(resampled**4)) + 0.5) / (31, 17, 45)
    np.testing.assert_allclose(centre, place, atol=2e-3)


def test_cubic_resampling_of_a_smooth_volume_is_exact_to_a_percent():
    def scene(shape):
        z, y, x = ((np.arange(n) + 0.5) / n for n in shape)
        wave = np.sin(3 * z)[:, None, None] * np.cos(2 * y)[:, None] * np.sin(4 * x + 1)
        return wave.astype(np.float32)

    resampled = resample_image(scene((20, 20, 20)), (33, 14, 20), None)
    np.testing.assert_allclose(resampled, scene((33, 14, 20)), atol=0.02)


def test_a_coarse_axis_takes_the_nearest_slice():
    volume = noise(3, 8, 8)
    resampled = resample_image(volume, (6, 8, 8), 0)
    np.testing.assert_array_equal(resampled, np.repeat(volume, 2, axis=0))
    in_plane = resample_image(volume, (3, 16, 16), 0)
    expected = ndimage.zoom(volume[1], 2, order=3, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(in_plane[1], expected, rtol=1e-6)


def test_a_constant_stays_a_constant():
    constant = np.full((5, 6, 7), 0.25, np.float32)
    for apart in (None, 0, 2):
        np.testing.assert_allclose(resample_image(constant, (9, 3, 7), apart), 0.25, rtol=1e-6)


def test_averages_by_hand():
    volume = np.array([1, 3, 5, 7, 9], np.float32).reshape(1, 5, 1)
    # two voxels of 2.5 old ones: (1 + 3 + 5/2) / 2.5 and (5/2 + 7 + 9) / 2.5
    np.testing.assert_allclose(average_axis(volume, 1, 2).ravel(), [2.6, 7.4], rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_averages_against_a_slow_loop(axis):
    volume = noise(7, 9, 11)
    old = volume.shape[axis]
    lines = np.moveaxis(volume, axis, -1).astype(np.float64)
    expected = np.zeros((*lines.shape[:-1], 3))
    for new in range(3):
        for voxel in range(old):
            covered = max(0.0, min(voxel + 1, (new + 1) * old / 3) - max(voxel, new * old / 3))
            expected[..., new] += lines[..., voxel] * covered * 3 / old
    np.testing.assert_allclose(average_axis(volume, axis, 3), np.moveaxis(expected, -1, axis), atol=1e-6)


def test_an_axis_is_averaged_where_voxels_would_be_left_out():
    volume = noise(32, 32, 32)
    # the mean of 8 x 8 x 8 white voxels has a sd smaller by 8^1.5
    assert resample_image(volume, (4, 4, 4), None).std() == pytest.approx(8**-1.5, rel=0.3)
    # the coarse axis still takes whole slices
    assert resample_image(volume, (4, 32, 32), 0).std() == pytest.approx(1, rel=0.1)
