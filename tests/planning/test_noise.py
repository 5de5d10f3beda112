import numpy as np
import pytest
from shaped_noise import shaped_noise

from dd_nnunet.planning.noise import _detail_sd, noise_sd, noise_slope, whole_noise_sd

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


SMALL_BALL, BALL, LARGE_BALL = (
    ((np.indices((48, 48, 48)) - 23.5) ** 2).sum(axis=0) < radius**2 for radius in (10, 14, 20)
)
EVERYWHERE = np.ones((48, 48, 48), bool)


def noise_of(exponent, seed=0):
    noise = shaped_noise(exponent, seed=seed)
    return 0.25 * noise / noise.std()


SCENES = {
    "alone": lambda noise: (noise, EVERYWHERE),
    "with a ball": lambda noise: (noise + 0.5 * BALL, EVERYWHERE),
    "in a constant background": lambda noise: (
        np.where(LARGE_BALL, noise + 0.5 * SMALL_BALL, -1.0),
        LARGE_BALL,
    ),
}


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.8, 2.5])
def test_noise_of_known_slope_and_sd_with_objects_or_without(exponent, scene, seed):
    volume, inside = SCENES[scene](noise_of(exponent, seed))
    slope = noise_slope(volume, inside)
    assert slope == pytest.approx(-exponent, abs=0.15)
    # slopes below -2 are not extrapolated from
    whole = 0.25 if exponent <= 2 else 0.2
    assert whole_noise_sd(noise_sd(volume, inside), slope) == pytest.approx(whole, rel=0.05)


@pytest.mark.parametrize(("radius", "contrast"), [(6, 12), (9, 4), (9, 12), (9, 24)])
def test_edges_that_fill_a_small_volume_are_not_taken_for_noise(radius, contrast):
    grid = np.indices((24, 24, 24)) - 11.5
    ball = (grid**2).sum(axis=0) < radius**2
    inside = np.ones(ball.shape, bool)
    noisy = np.random.default_rng(0).normal(size=ball.shape) + contrast * ball
    slope = noise_slope(noisy, inside)
    assert slope == pytest.approx(0, abs=0.1)
    assert whole_noise_sd(noise_sd(noisy, inside), slope) == pytest.approx(1, rel=0.06)


def test_the_slope_does_not_depend_on_offset_or_scale():
    noise = noise_of(1.0)
    assert noise_slope(-700 * noise + 4000, EVERYWHERE) == pytest.approx(
        noise_slope(noise, EVERYWHERE), abs=1e-6
    )


def test_smooth_structure_is_steeper_than_any_noise_and_nothing_is_extrapolated_from_it():
    radius = np.sqrt(((np.indices((48, 48, 48)) - 23.5) ** 2).sum(axis=0))
    slope = noise_slope(1 / (1 + np.exp(radius - 14)), EVERYWHERE)
    assert slope < -3
    assert whole_noise_sd(0.1, slope) == 0.1
    assert whole_noise_sd(0.1, 0.0) == pytest.approx(0.1)
    assert whole_noise_sd(0.1, -2.5) == whole_noise_sd(0.1, -2.0) > whole_noise_sd(0.1, -1.0) > 0.1


def test_details_of_two_voxels_against_a_slow_loop():
    volume = white(1.0)[:5, :6, :7]
    weights = np.array([1, 1, -1, -1]) / 2
    details = [
        abs(sum(
            weights[i] * weights[j] * weights[k] * volume[z + i, y + j, x + k]
            for i in range(4) for j in range(4) for k in range(4)
        ))
        for z in range(2) for y in range(3) for x in range(4)
    ]  # fmt: skip
    expected = np.median(details) / 0.6744897501960817
    everywhere = ALL[:5, :6, :7]
    assert _detail_sd(volume, everywhere, 2, everywhere) == pytest.approx(expected)
    # only those whose middle, the third of four voxels, is calm
    calm = np.zeros_like(everywhere)
    calm[:, :, 2:4] = True
    some = [
        detail for place, detail in zip(np.ndindex(2, 3, 4), details, strict=True) if place[2] + 2 in (2, 3)
    ]
    assert _detail_sd(volume, everywhere, 2, calm) == pytest.approx(np.median(some) / 0.6744897501960817)


def test_too_thin_or_constant_a_volume_has_no_slope():
    assert noise_slope(np.zeros((9, 9, 9)), np.ones((9, 9, 9), bool)) == 0.0
    assert noise_slope(white(1.0)[:3], ALL[:3]) == 0.0
