"""Eq. 2 and the noise schedule."""

import numpy as np
import pytest
import torch

from dd_nnunet.core.noise_schedule import added_noise_sd, cosine_alphas_cumprod
from dd_nnunet.networks.noising import add_noise, to_image_range, to_model_range


def test_schedule_falls_from_one_to_zero() -> None:
    alphas = cosine_alphas_cumprod(250)
    assert alphas.shape == (250,)
    assert (np.diff(alphas) < 0).all()
    assert alphas[0] > 0.999 and alphas[-1] < 1e-6


def test_schedule_is_the_published_cosine() -> None:
    # away from the clipped last steps, the product of the ratios is the ratio itself: f(t+1) / f(0)
    def f(t: float) -> float:
        return float(np.cos((t / 250 + 0.008) / 1.008 * np.pi / 2) ** 2)

    alphas = cosine_alphas_cumprod(250)
    for t in (0, 24, 124, 200):
        assert alphas[t] == pytest.approx(f(t + 1) / f(0), rel=1e-12)


def test_timestep_25_adds_what_the_method_page_says() -> None:
    assert added_noise_sd(250)[25] == pytest.approx(0.088, abs=5e-4)


def test_noising_by_hand() -> None:
    x0, noise = torch.full((1, 1, 1, 1, 1), 0.5), torch.full((1, 1, 1, 1, 1), -1.0)
    x_t = add_noise(x0, noise, torch.tensor([0.64]))
    assert float(x_t) == pytest.approx(0.8 * 0.5 - 0.6)


def test_ranges_are_inverse() -> None:
    image = torch.tensor([0.0, 0.25, 1.0])
    assert to_model_range(image).tolist() == [-1, -0.5, 1]
    assert to_image_range(to_model_range(image)).tolist() == image.tolist()
    assert to_image_range(torch.tensor([-3.0, 3.0])).tolist() == [0, 1]
