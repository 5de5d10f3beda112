import numpy as np
import pytest
from scipy import ndimage

from dataset_conversion.synthcell import coloured_noise
from dd_nnunet.planning.surrogates import surrogates


def pink(shape, seed=0):
    return coloured_noise(np.random.default_rng(seed), shape, 1.0, 0.2)


def ball(edge):
    return ((np.indices((edge,) * 3) - (edge - 1) / 2) ** 2).sum(axis=0) < (edge / 2) ** 2


def covariance(field, inside, lag):
    """Mean product of voxels that lie `lag` apart along x, both inside."""
    centred = field - field[inside].mean()
    pairs = inside[..., lag:] & inside[..., :-lag]
    return (centred[..., lag:] * centred[..., :-lag])[pairs].mean()


def test_a_whole_volume_keeps_the_power_of_every_wave_and_only_that():
    volume = 5 + pink((12, 15, 16))
    everywhere = np.ones(volume.shape, dtype=bool)
    first, second = surrogates(volume, everywhere, 2, seed=0)
    power = np.abs(np.fft.fftn(volume)) ** 2
    for field in (first, second):
        np.testing.assert_allclose(
            np.abs(np.fft.fftn(field.astype(np.float64))) ** 2, power, rtol=0.01, atol=1e-3
        )
        assert field.mean() == pytest.approx(volume.mean(), abs=1e-5)
        assert field.std() == pytest.approx(volume.std(), rel=1e-4)
    assert abs(np.corrcoef(first.ravel(), volume.ravel())[0, 1]) < 0.2
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.2


def test_an_irregular_region_keeps_mean_and_variance_and_nearly_its_covariance():
    """Filled with zeros instead, a ball of 31 voxels would lose a fifth of its covariance at a lag of 3."""
    inside = ball(31)
    white = np.random.default_rng(0).normal(size=(35, 35, 35))
    volume = ndimage.gaussian_filter(white, 2, mode="wrap")
    region, box = np.pad(inside, 2), (slice(2, -2),) * 3
    fields = list(surrogates(volume, region, 16, seed=0))
    for field in fields:
        assert field[inside].mean() == pytest.approx(volume[region].mean(), abs=1e-6)
        assert field[inside].std() == pytest.approx(volume[region].std(), rel=1e-4)
    for lag, lost in ((1, 0.04), (2, 0.08), (3, 0.12)):
        drawn = np.mean([covariance(field, inside, lag) for field in fields])
        assert 1 - lost < drawn / covariance(volume[box], inside, lag) < 1.01


def test_what_lies_outside_the_region_does_not_count():
    region = np.pad(ball(15), 3)
    volume = pink(region.shape)
    other = np.where(region, volume, 100.0)
    for mine, theirs in zip(surrogates(volume, region, 2, 0), surrogates(other, region, 2, 0), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_seed_decides():
    volume, everywhere = pink((8, 8, 8)), np.ones((8, 8, 8), dtype=bool)
    (first,), (again,), (other,) = (surrogates(volume, everywhere, 1, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.05
