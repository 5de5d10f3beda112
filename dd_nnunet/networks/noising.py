"""Noising a volume, and the range in which the diffusion model works."""

from torch import Tensor


def to_model_range(image: Tensor) -> Tensor:
    """[0,1] -> [-1,1]."""
    return 2 * image - 1


def to_image_range(prediction: Tensor) -> Tensor:
    """[-1,1] -> [0,1], clipped."""
    return ((prediction + 1) / 2).clamp(0, 1)


def add_noise(x0: Tensor, noise: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """x_t = sqrt(ᾱ_t) x0 + sqrt(1 - ᾱ_t) ε.

    Args:
        x0: [B,C,Z,Y,X] in [-1,1].
        noise: ε, [B,C,Z,Y,X] standard normal; x0 may be one image for many draws.
        alphas_cumprod: [B] ᾱ at each image's timestep.

    Source: Eq. (2).
    """
    signal = alphas_cumprod.to(x0.dtype)[:, None, None, None, None]
    return signal.sqrt() * x0 + (1 - signal).sqrt() * noise
