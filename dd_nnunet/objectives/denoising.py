"""Noising and the loss of diffusion pretraining."""

import torch
from torch import Tensor


def to_model_range(image: Tensor) -> Tensor:
    """[0,1] -> [-1,1], the range in which the diffusion model works."""
    return 2 * image - 1


def to_image_range(prediction: Tensor) -> Tensor:
    """[-1,1] -> [0,1], clipped."""
    return ((prediction + 1) / 2).clamp(0, 1)


def add_noise(x0: Tensor, noise: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """x_t = sqrt(ᾱ_t) x0 + sqrt(1 - ᾱ_t) ε.

    Args:
        x0: [B,C,Z,Y,X] in [-1,1].
        noise: ε, the same shape, standard normal.
        alphas_cumprod: [B] ᾱ at each image's timestep.

    Source: Eq. (2).
    """
    signal = alphas_cumprod.to(x0.dtype)[:, None, None, None, None]
    return signal.sqrt() * x0 + (1 - signal).sqrt() * noise


def denoising_loss(prediction: Tensor, x0: Tensor) -> Tensor:
    """Mean absolute difference per image: [B,C,Z,Y,X] twice -> [B].

    Source: section 4.2 of the paper ("L1 loss between the denoised and the original images").
    """
    return (prediction.to(x0.dtype) - x0).abs().flatten(1).mean(dim=1)


def draw_noise(shape: tuple[int, ...], seed: int) -> Tensor:
    """Standard normal noise from its own generator, the same on every device."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
