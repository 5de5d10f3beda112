import math

import numpy as np
import pytest

from dd_nnunet.core.noise_schedule import added_noise_sd, cosine_alphas_cumprod


def cosine(t):
    return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2


def test_two_steps_by_hand():
    # f(0) = 0.99984, f(1/2) = 0.49384, f(1) = 0: the second beta is clipped from 1 to 0.999
    first = cosine(0.5) / cosine(0)
    assert first == pytest.approx(0.4939, abs=1e-4)
    np.testing.assert_allclose(cosine_alphas_cumprod(2), [first, first * 0.001], rtol=1e-12)


def test_slow_loop():
    product, expected = 1.0, []
    for t in range(250):
        product *= 1 - min(1 - cosine((t + 1) / 250) / cosine(t / 250), 0.999)
        expected.append(product)
    np.testing.assert_allclose(cosine_alphas_cumprod(250), expected, rtol=1e-12)


def test_signal_falls_and_noise_rises():
    assert cosine_alphas_cumprod(250).dtype == np.float64
    assert (np.diff(cosine_alphas_cumprod(250)) < 0).all()
    assert (np.diff(added_noise_sd(250)) > 0).all()


def test_timestep_25_of_250_adds_9_percent_of_the_range():
    assert added_noise_sd(250)[25] == pytest.approx(0.088, abs=5e-4)


def test_added_noise_is_that_of_the_noising_equation():
    rng = np.random.default_rng(0)
    alpha = cosine_alphas_cumprod(250)[60]
    x0 = rng.uniform(0, 1, 100_000)
    noised = math.sqrt(alpha) * (2 * x0 - 1) + math.sqrt(1 - alpha) * rng.normal(size=x0.size)
    in_unit_range = (noised / math.sqrt(alpha) + 1) / 2
    assert (in_unit_range - x0).std() == pytest.approx(added_noise_sd(250)[60], rel=0.01)
