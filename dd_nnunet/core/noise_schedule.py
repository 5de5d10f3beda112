"""The cosine noise schedule of the diffusion model."""

import math

import numpy as np
import numpy.typing as npt

OFFSET = 0.008
MAX_BETA = 0.999


def cosine_alphas_cumprod(n_timesteps: int) -> npt.NDArray[np.float64]:
    """The share ᾱ_t of signal variance left after t + 1 noising steps.

    Args:
        n_timesteps: length T of the schedule, at least 1.

    Returns:
        [T] float64, falling, in (0,1).

    Source: Nichol & Dhariwal 2021 (arXiv 2102.09672), Eq. (17), with their offset and clipping of β at 0.999.
    """
    times = np.arange(n_timesteps + 1, dtype=np.float64) / n_timesteps
    f = np.cos((times + OFFSET) / (1 + OFFSET) * math.pi / 2) ** 2
    betas = np.minimum(1 - f[1:] / f[:-1], MAX_BETA)
    return np.cumprod(1 - betas)


def added_noise_sd(n_timesteps: int) -> npt.NDArray[np.float64]:
    """Noise that each timestep adds to a volume, in units of its [0,1] range.

    A volume is scaled to [-1,1] before noising (Eq. 2), and √ᾱ_t x0 + √(1-ᾱ_t) ε is x0 with noise of
    sd √((1-ᾱ_t)/ᾱ_t), up to a factor; half of that is the sd in [0,1] units.

    Returns:
        [T] float64, rising.
    """
    alphas = cosine_alphas_cumprod(n_timesteps)
    return np.sqrt((1 - alphas) / alphas) / 2
