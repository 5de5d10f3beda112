import numpy as np
import pytest

from dd_nnunet.planning.noise import noise_sd

ALL = np.ones((32, 32, 32), bool)


def white(sd, seed=0):
    return np.random.default_rng(seed).normal(0, sd, ALL.shape)


@pytest.mark.parametrize("sd", [0.01, 0.078, 3.0])
def test_white_noise_of_known_sd(sd):
    assert noise_sd(white(sd), ALL) == pytest.approx(sd, rel=0.06)


def test_slow_loop():
    volume = white(1.0)[:4, :6, :8]
    details = []
    for z in range(0, 4, 2):
        for y in range(0, 6, 2):
            for x in range(0, 8, 2):
                block = volume[z : z + 2, y : y + 2, x : x + 2]
                signs = np.array([1, -1])
                alternating = signs[:, None, None] * signs[:, None] * signs
                details.append(abs((block * alternating).sum()) / np.sqrt(8))
    expected = np.median(details) / 0.6744897501960817
    assert noise_sd(volume, ALL[:4, :6, :8]) == pytest.approx(expected)


def test_steps_and_ramps_are_not_noise():
    z, y, x = np.indices(ALL.shape)
    scene = 0.5 * (x > 10) + 0.3 * (y > 17) + z / 32.0
    assert noise_sd(scene, ALL) < 1e-12
    assert noise_sd(scene + white(0.05), ALL) == pytest.approx(0.05, rel=0.06)


def test_a_ball_is_hardly_noise():
    ball = ((np.indices(ALL.shape) - 15.5) ** 2).sum(axis=0) < 10**2
    assert noise_sd(ball + white(0.05), ALL) == pytest.approx(0.05, rel=0.1)


def test_background_is_left_out():
    inside = np.zeros_like(ALL)
    inside[8:24, 8:24, 8:24] = True
    assert noise_sd(np.where(inside, white(1.0), 0.0), inside) == pytest.approx(1.0, rel=0.15)


def test_correlated_noise_is_underestimated_never_over():
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(white(1.0), 1.0)
    assert noise_sd(smooth / smooth.std(), ALL) < 1.0


def test_too_thin_a_volume_has_no_estimate():
    assert noise_sd(np.ones((1, 9, 9)), np.ones((1, 9, 9), bool)) == 0.0
