"""The noise schedule of the diffusion model: how much of a volume is left at each timestep."""

import numpy as np
import numpy.typing as npt

COSINE_OFFSET = 0.008
LARGEST_BETA = 0.999


def cosine_alphas_cumprod(n_timesteps: int) -> npt.NDArray[np.float64]:
    """Cumulated signal fraction ᾱ_t of the cosine schedule for t = 0 … T-1.

    With f(t) = cos²(((t/T + s) / (1 + s)) · π/2), β_t = min(1 - f(t+1)/f(t), 0.999), ᾱ_t = Π (1 - β).

    Returns:
        [T] float64 in (0,1), falling.

    Source: Nichol & Dhariwal, "Improved Denoising Diffusion Probabilistic Models", ICML 2021, Eq. 17.
    """
    times = np.arange(n_timesteps + 1, dtype=np.float64) / n_timesteps
    signal = np.cos((times + COSINE_OFFSET) / (1 + COSINE_OFFSET) * np.pi / 2) ** 2
    betas = np.minimum(1 - signal[1:] / signal[:-1], LARGEST_BETA)
    return np.asarray(np.cumprod(1 - betas))


def added_noise_sd(n_timesteps: int) -> npt.NDArray[np.float64]:
    """Noise that timestep t adds to a volume scaled to [0,1], as standard deviation.

    The diffusion model sees 2·x - 1, so that x_t / sqrt(ᾱ_t) = x0 + sqrt((1-ᾱ_t)/ᾱ_t) ε in [-1,1]
    is half of that in [0,1].

    Returns:
        [T] float64, rising.

    Source: Eq. (2), rearranged.
    """
    alphas = cosine_alphas_cumprod(n_timesteps)
    return np.asarray(np.sqrt((1 - alphas) / alphas) / 2)
