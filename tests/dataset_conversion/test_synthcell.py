"""The synthetic cells: frozen, reproducible, nested, with gaps, with the noise they claim."""

import dataclasses
import hashlib
import math

import numpy as np
import pytest
from scipy import ndimage

from dataset_conversion.synthcell import (
    CUBE_HALF_SIDE,
    GENERATOR_VERSION,
    LEVELS,
    MINI_SIZE,
    REGULAR,
    VARIANTS,
    clearance,
    coloured_noise,
    implicit_function,
    make_volume,
)

# image quantised to 1e-3 (the FFT's rounding differs between numpy versions by about 1e-15) and labels
REFERENCE_SHA256 = {
    "regular": "58e45cc5710b3adfb4e945892381da78a7b7c16cd082260f35a3e404881d296e",
    "irregular": "285fda189791e01820fb63e84e5fb50b188760b18d588f41327219646f3c6685",
    "hard-noise": "d95e1e6783322f8d32bf178cbc3f1817de72b1a8822e78e747c1abfdc52374e2",
}
NOISELESS = dataclasses.replace(REGULAR, noise_sd=0.0)
ALL_NEIGHBOURS = np.ones((3, 3, 3))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_generator_is_frozen(variant):
    volume = make_volume(VARIANTS[variant], seed=0, index=0)
    quantised = np.rint(volume.image.astype(np.float64) * 1000).astype("<i2")
    digest = hashlib.sha256(quantised.tobytes() + volume.labels.tobytes()).hexdigest()
    assert GENERATOR_VERSION == "1.0"
    assert digest == REFERENCE_SHA256[variant]


def test_a_volume_depends_on_seed_and_index_only():
    first = make_volume(REGULAR, seed=3, index=5, size=MINI_SIZE)
    make_volume(REGULAR, seed=3, index=4, size=MINI_SIZE)
    again = make_volume(REGULAR, seed=3, index=5, size=MINI_SIZE)
    np.testing.assert_array_equal(again.image, first.image)
    np.testing.assert_array_equal(again.labels, first.labels)
    for seed, index in ((3, 6), (4, 5), (5, 3)):
        other = make_volume(REGULAR, seed, index, MINI_SIZE)
        assert (other.labels != first.labels).any()


def test_types_and_shapes():
    volume = make_volume(REGULAR, seed=0, index=0, size=MINI_SIZE)
    assert volume.image.shape == volume.labels.shape == (32, 32, 32)
    assert volume.image.dtype == np.float32
    assert volume.labels.dtype == np.uint8


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_volume_holds_every_class_and_a_border_of_background(variant):
    for index in range(6):
        labels = make_volume(VARIANTS[variant], seed=1, index=index, size=MINI_SIZE).labels
        assert np.unique(labels).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
        assert labels[1:-1, 1:-1, 1:-1].astype(bool).sum() == labels.astype(bool).sum()


@pytest.mark.parametrize("variant", ["regular", "irregular"])
def test_organelles_touch_neither_each_other_nor_the_background(variant):
    for index in range(2):
        labels = make_volume(VARIANTS[variant], seed=2, index=index).labels
        kinds = level_labels(labels, 2)
        for kind in (2, 3):
            around = ndimage.binary_dilation(kinds == kind, ALL_NEIGHBOURS) & (kinds != kind)
            assert np.unique(kinds[around]).tolist() == [1]


def test_regular_organelles_are_two_to_four_balls_and_cubes():
    for index in range(2):
        kinds = level_labels(make_volume(REGULAR, seed=2, index=index).labels, 2)
        for kind in (2, 3):
            objects, n_objects = ndimage.label(kinds == kind, ALL_NEIGHBOURS)
            assert 2 <= n_objects <= 4
            for number, box in enumerate(ndimage.find_objects(objects), start=1):
                mask = objects[box] == number
                assert len(set(mask.shape)) == 1
                middle = mask.shape[0] // 2
                from_centre = np.linalg.norm(np.indices(mask.shape) - middle, axis=0)
                # a ball holds the voxels nearest to its centre, a cube fills its box
                is_ball = not mask.all() and from_centre[mask].max() < from_centre[~mask].min()
                assert is_ball if kind == 2 else mask.all()


def test_levels_are_nested():
    labels = make_volume(REGULAR, seed=0, index=1, size=MINI_SIZE).labels
    for coarse, fine in ((1, 2), (2, 3)):
        pairs = {
            (int(f), int(c))
            for f, c in zip(level_labels(labels, fine).flat, level_labels(labels, coarse).flat, strict=True)
        }
        assert len(pairs) == len({f for f, _ in pairs})
    assert [len(level) for level in LEVELS] == [2, 4, 8]


def test_intensities_without_noise():
    volume = make_volume(NOISELESS, seed=0, index=2)
    value = [np.unique(volume.image[volume.labels == label]) for label in range(8)]
    # one intensity per class and volume
    assert [len(v) for v in value] == [1] * 8
    background, cell, vesicle, mitochondrion, *aggregates = (float(v[0]) for v in value)
    assert background == 0
    assert 0.43 <= cell <= 0.53
    low, high = REGULAR.organelle_offset
    assert low <= vesicle - cell <= high
    assert low <= mitochondrion - cell <= high
    low, high = REGULAR.aggregate_contrast
    for aggregate, parent in zip(aggregates, (vesicle, vesicle, mitochondrion, mitochondrion), strict=True):
        assert low - 1e-6 <= abs(aggregate - parent) <= high + 1e-6


def test_one_intensity_per_aggregate_where_asked_for():
    recipe = dataclasses.replace(NOISELESS, one_intensity_per_kind=False)
    image, labels = (lambda v: (v.image, v.labels))(make_volume(recipe, seed=0, index=2))
    n_values = [len(np.unique(image[labels == label])) for label in range(8)]
    assert n_values[:4] == [1, 1, 1, 1]
    assert max(n_values[4:]) > 1


def test_noise_is_added_and_hard_noise_shares_the_scene():
    clean = make_volume(NOISELESS, seed=0, index=0, size=MINI_SIZE)
    for variant in ("regular", "hard-noise"):
        noisy = make_volume(VARIANTS[variant], seed=0, index=0, size=MINI_SIZE)
        np.testing.assert_array_equal(noisy.labels, clean.labels)
        difference = noisy.image.astype(np.float64) - clean.image
        assert abs(difference.std() - 0.25) < 1e-6
        assert abs(difference.mean()) < 1e-6


def test_too_small_and_impossible_volumes_are_refused():
    with pytest.raises(ValueError, match="at least 24"):
        make_volume(REGULAR, seed=0, index=0, size=23)
    crowded = dataclasses.replace(REGULAR, organelle_radius=(30.0, 30.0))
    with pytest.raises(ValueError, match="do not fit"):
        make_volume(crowded, seed=0, index=0, size=24)


def test_coloured_noise_against_a_slow_fourier_sum():
    shape, exponent, sd = (3, 4, 5), 1.4, 0.25
    white = np.random.default_rng(0).standard_normal(shape)
    expected = slow_filter(white, exponent)
    expected *= sd / expected.std()
    found = coloured_noise(np.random.default_rng(0), shape, exponent, sd)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.8, 2.0])
def test_coloured_noise_has_the_spectrum_it_claims(exponent):
    noise = coloured_noise(np.random.default_rng(1), (32, 32, 32), exponent, 0.25)
    assert abs(noise.mean()) < 1e-12
    assert noise.std() == pytest.approx(0.25, rel=1e-12)
    axis = np.fft.fftfreq(32)
    frequency = np.sqrt(
        axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2
    ).ravel()[1:]
    power = np.abs(np.fft.fftn(noise).ravel()[1:]) ** 2
    slope = np.polyfit(np.log(frequency), np.log(power), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.05)


def test_implicit_functions_by_hand():
    ball = implicit_function("ball", (2.0, 2.0, 2.0), 2.0, (5, 5, 5))
    assert ball[2, 2, 2] == -1.0
    assert ball[2, 2, 4] == 0.0
    assert ball[2, 1, 4] == pytest.approx(math.sqrt(5) / 2 - 1)
    cube = implicit_function("cube", (2.0, 2.0, 2.0), 1.0 / CUBE_HALF_SIDE, (5, 5, 5))
    np.testing.assert_array_equal((cube <= 1e-12)[1:4, 1:4, 1:4], True)
    assert (cube <= 1e-12).sum() == 27


def test_cube_and_ball_have_the_same_volume():
    assert pytest.approx(4 / 3 * math.pi) == (2 * CUBE_HALF_SIDE) ** 3


@pytest.mark.parametrize("shape", ["ball", "cube"])
def test_clearance_against_a_slow_loop(shape):
    free = np.random.default_rng(0).random((5, 6, 7)) < 0.9
    taken = np.argwhere(~free)
    expected = np.zeros(free.shape)
    for place in np.ndindex(free.shape):
        apart = np.abs(taken - place)
        distance = np.sqrt((apart**2).sum(axis=1)) if shape == "ball" else apart.max(axis=1)
        expected[place] = distance.min()
    np.testing.assert_allclose(clearance(shape, free), expected)


def level_labels(labels, level):
    table = np.zeros(8, dtype=int)
    for number, merged in enumerate(LEVELS[level - 1].values()):
        table[list(merged)] = number
    return table[labels]


def slow_filter(white, exponent):
    """Each Fourier coefficient by its sum, weighted by f^(-exponent/2), and back by the sum."""
    shape = white.shape
    places = np.array(list(np.ndindex(shape)))
    result = np.zeros(len(places), dtype=complex)
    for k in np.ndindex(shape):
        if k == (0, 0, 0):
            continue
        f = [(k_i if k_i <= (n - 1) // 2 else k_i - n) / n for k_i, n in zip(k, shape, strict=True)]
        phase = 2 * np.pi * (places @ (np.array(k) / shape))
        coefficient = (white.ravel() * np.exp(-1j * phase)).sum()
        weight = math.sqrt(sum(f_i**2 for f_i in f)) ** (-exponent / 2)
        result += weight * coefficient * np.exp(1j * phase) / white.size
    return result.real.reshape(shape)
