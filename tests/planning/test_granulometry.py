import numpy as np
import pytest
from scipy import ndimage

from dd_nnunet.planning.granulometry import (
    _opened_volume,
    characteristic_diameters,
    granulometry,
    otsu_threshold,
    shrink,
    thickness,
)

UNIT = (1.0, 1.0, 1.0)


def ball(shape, centre, radius, spacing=UNIT):
    grid = np.indices(shape, dtype=float)
    squared = sum(((g - c) * s) ** 2 for g, c, s in zip(grid, centre, spacing, strict=True))
    return squared <= radius**2


def test_a_slab_of_5_voxels_is_5_thick():
    mask = np.zeros((20, 20, 20), bool)
    mask[7:12] = True
    assert thickness(mask, UNIT, 1.0) == 5.0


def test_a_cube_of_9_voxels_holds_a_ball_of_9():
    mask = np.zeros((20, 20, 20), bool)
    mask[5:14, 5:14, 5:14] = True
    assert thickness(mask, UNIT, 1.0) == 9.0


def test_the_whole_volume_is_an_object_that_ends_at_its_faces():
    assert thickness(np.ones((7, 9, 11), bool), UNIT, 1.0) == 7.0


def test_millimetres_not_voxels():
    spacing = (4.0, 1.0, 1.0)
    mask = ball((12, 48, 48), (6, 24, 24), 18, spacing)
    assert thickness(mask, spacing, 1.0) == pytest.approx(36, abs=3)


def test_the_quantile_weighs_by_volume():
    mask = ball((40, 40, 40), (12, 20, 20), 9)
    for z, y in ((30, 8), (30, 20), (30, 32)):
        mask |= ball(mask.shape, (z, y, 20), 3)
    # three small balls hold a tenth of the volume
    assert thickness(mask, UNIT, 0.5) == pytest.approx(17, abs=2)
    assert thickness(mask, UNIT, 0.05) == pytest.approx(5, abs=2.1)


def test_thickness_against_openings_with_explicit_balls():
    rng = np.random.default_rng(3)
    mask = ndimage.gaussian_filter(rng.normal(size=(12, 12, 12)), 1.5) > 0.02
    padded = np.pad(mask, 4)
    best = 0.0
    for squared in range(1, 20):
        reach = int(np.ceil(squared**0.5))
        grid = np.indices((2 * reach + 1,) * 3) - reach
        element = (grid**2).sum(axis=0) < squared
        if ndimage.binary_opening(padded, element).sum() > 0.4 * mask.sum():
            best = 2 * squared**0.5 - 1
    assert 1 < best < 2 * 19**0.5 - 1
    assert thickness(mask, UNIT, 0.6) == pytest.approx(best)


def test_otsu_against_brute_force():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0.2, 0.05, 700), rng.normal(0.8, 0.1, 300)])
    chosen = otsu_threshold(values)

    def between(threshold):
        low, high = values[values <= threshold], values[values > threshold]
        return len(low) * len(high) * (low.mean() - high.mean()) ** 2

    best = max(between(t) for t in np.linspace(0.1, 0.9, 400))
    assert between(chosen) > 0.99 * best


def nested_balls(noise=0.0):
    volume = 0.5 * ball((48,) * 3, (24, 24, 24), 20)
    organelles = [(15, 24, 24), (30, 14, 24), (30, 33, 24)]
    for centre in organelles:
        volume[ball(volume.shape, centre, 5.5)] = 0.75
        volume[ball(volume.shape, centre, 2.5)] = 1.0
    return np.clip(volume + np.random.default_rng(0).normal(0, noise, volume.shape), 0, 1)


def test_values_that_differ_by_rounding_only_are_one_class():
    values = np.array([1, 1 + 2**-23, 1, 1], np.float32)
    assert otsu_threshold(values) == values.max()
    assert otsu_threshold(values[:0]) == 0


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_nested_balls_are_measured_from_the_outside_in(noise):
    diameters = characteristic_diameters(nested_balls(noise), UNIT)
    assert diameters == pytest.approx((40, 11, 5), abs=2)


def noisy_balls(spacing, radii, noise):
    """Balls in one another, of intensities 1, 2 …, in 64 mm of thick slices."""
    shape = tuple(round(64 / s) for s in spacing)
    volume = sum(1.0 * ball(shape, [n / 2 for n in shape], radius, spacing) for radius in radii)
    volume += np.random.default_rng(0).normal(0, noise, shape)
    return (volume - volume.min()) / np.ptp(volume)


@pytest.mark.parametrize("spacing", [(8.0, 1.0, 1.0), (10.0, 1.0, 1.0), (12.0, 0.5, 0.5)])
def test_thin_things_in_thick_slices_are_no_thinner_than_a_voxel(spacing):
    shape = tuple(round(64 / s) for s in spacing)
    mask = np.zeros(shape, bool)
    mask[2, ::4, ::4] = True
    assert thickness(mask, spacing, 1.0) == min(spacing)
    diameters = characteristic_diameters(noisy_balls(spacing, (25,), 0.3), spacing)
    assert diameters and min(diameters) >= 2 * np.prod(spacing) ** (1 / 3)


@pytest.mark.parametrize("spacing", [UNIT, (4.0, 1.0, 1.0)])
def test_noise_in_a_ball_is_no_level(spacing):
    one = characteristic_diameters(noisy_balls(spacing, (24,), 0.2), spacing)
    assert one == pytest.approx((48,), abs=4)
    two = characteristic_diameters(noisy_balls(spacing, (24, 10), 0.2), spacing)
    assert two == pytest.approx((48, 20), abs=4)


def test_dark_objects_count_as_bright_ones():
    bright = characteristic_diameters(nested_balls(), UNIT)
    dark = characteristic_diameters(1 - nested_balls(), UNIT)
    assert dark == pytest.approx(bright, abs=1.1)


def test_diameters_scale_with_the_spacing():
    once = characteristic_diameters(nested_balls(), UNIT)
    thrice = characteristic_diameters(nested_balls(), (3.0, 3.0, 3.0))
    assert thrice == pytest.approx([3 * d for d in once], rel=1e-3)


def test_large_volumes_are_averaged_down_first():
    volume = 1.0 * ball((100, 100, 100), (50, 50, 50), 40)
    assert characteristic_diameters(volume, UNIT)[0] == pytest.approx(80, abs=4)


def test_thin_and_constant_volumes_do_not_crash():
    assert characteristic_diameters(np.zeros((10, 10, 10)), UNIT) == ()
    # a slice of noise: nothing in it is thicker than a voxel
    assert characteristic_diameters(np.random.default_rng(0).random((1, 20, 20)), UNIT) in ((), (1.0,))


def test_bright_balls_in_thick_slices_are_as_wide_in_millimetres():
    spacing, volume = (4.0, 1.0, 1.0), np.zeros((20, 80, 80))
    for centre in ((5, 20, 20), (5, 60, 60), (15, 20, 60), (15, 60, 20)):
        volume[ball(volume.shape, centre, 10, spacing)] = 1.0
    assert granulometry(volume, spacing).bright_mm == pytest.approx(20, abs=3)


def test_bright_balls_on_dark_ground_and_the_negative():
    volume = np.zeros((40, 40, 40))
    for centre in ((10, 10, 10), (10, 30, 30), (30, 10, 30), (30, 30, 10)):
        volume[ball(volume.shape, centre, 5)] = 1.0
    found = granulometry(volume, UNIT)
    assert found.bright_mm == pytest.approx(10, abs=1.1)
    assert found.dark_mm > 15
    negative = granulometry(1 - volume, UNIT)
    assert (negative.bright_mm, negative.dark_mm) == (found.dark_mm, found.bright_mm)
    assert (negative.opening, negative.closing) == (found.closing, found.opening)
    in_mm = granulometry(volume, (3.0, 3.0, 3.0))
    assert in_mm.bright_mm == pytest.approx(3 * found.bright_mm, abs=1e-3)
    assert in_mm.sieve_mm == pytest.approx([3 * d for d in found.sieve_mm], abs=1e-3)
    assert in_mm.opening == found.opening


def test_the_opening_spectrum_of_balls_falls_where_their_diameter_is_passed():
    shape = (40, 40, 40)
    # a ball of 18 voxels and 16 of 8 in layers beside it
    large = ball(shape, (10, 10, 10), 9)
    small = np.any(
        [ball(shape, (27 + 9 * z, 5 + 10 * y, 20 + 12 * x), 4) for z, y, x in np.ndindex(2, 4, 2)], axis=0
    )
    found = granulometry(1.0 * (small | large), UNIT)
    share = large.sum() / (small | large).sum()
    kept = dict(zip(found.sieve_mm, found.opening, strict=True))
    assert found.sieve_mm[0] == 2.0 and found.sieve_mm[-1] == 20.0
    assert 0.35 < share < 0.5
    assert all(kept[d] > 0.9 for d in found.sieve_mm if d < 5)
    assert [kept[d] for d in found.sieve_mm if 9 < d < 15] == pytest.approx([share] * 2, abs=0.09)
    assert kept[20.0] == 0
    assert list(found.opening) == sorted(found.opening, reverse=True)


def test_openings_against_a_slow_loop():
    mask = np.zeros((9, 9, 9), bool)
    mask[2:7, 2:7, 2:7] = True
    mask[4, 4, 0:2] = True
    # one voxel across 3: the structuring element of all offsets nearer than 2 voxels, which a ball of 3 has
    offsets = [o for o in np.ndindex(3, 3, 3) if sum((i - 1) ** 2 for i in o) < 4]
    eroded = np.zeros_like(mask)
    for place in np.ndindex(mask.shape):
        around = [tuple(p + i - 1 for p, i in zip(place, o, strict=True)) for o in offsets]
        eroded[place] = all(all(0 <= q < 9 for q in a) and mask[a] for a in around)
    opened = np.zeros_like(mask)
    for place in zip(*np.nonzero(eroded), strict=True):
        for o in offsets:
            opened[tuple(p + i - 1 for p, i in zip(place, o, strict=True))] = True
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))
    assert _opened_volume(depth, 2.0, UNIT) == opened.sum() == 125


def test_nothing_bright_has_no_diameter():
    found = granulometry(np.zeros((9, 9, 9)), UNIT)
    assert (found.bright_mm, found.dark_mm) == (0.0, 9.0)
    assert set(found.opening) == {0.0}


def test_shrinking_averages_pairs_along_the_finest_axis():
    volume = np.arange(12.0).reshape(1, 2, 6)
    small, spacing = shrink(volume, (1.0, 5.0, 2.0), 6)
    # z cannot be halved, x is the finest that can
    assert small.tolist() == [[[0.5, 2.5, 4.5], [6.5, 8.5, 10.5]]]
    assert spacing == [1.0, 5.0, 4.0]
    assert shrink(volume, (1.0, 5.0, 2.0), 12)[0] is volume
