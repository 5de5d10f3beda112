"""Photometric invariance (Eq. 8)."""

import torch
from torch import Tensor

EPSILON = 1e-6


def gamma_transform(image: Tensor, gamma: Tensor) -> Tensor:
    """T(x) = x^γ for images in [0,1]; image [B,C,Z,Y,X], gamma [B]."""
    return image.clamp(min=EPSILON) ** gamma[:, None, None, None, None]


def photometric_invariance(masks: Tensor, transformed: Tensor) -> Tensor:
    """Dice loss with squares between the masks of an image and of its transformed copy.

    Args:
        masks: [B,K,Z,Y,X] f(x) in [0,1].
        transformed: [B,K,Z,Y,X] f(T(x)) in [0,1].

    Returns:
        [B] in [0,1]; 0 for equal masks, however unsure or empty they are.

    Source: Eq. (8).
    """
    overlap = torch.einsum("bkzyx,bkzyx->bk", masks, transformed)
    total = masks.square().sum(dim=(2, 3, 4)) + transformed.square().sum(dim=(2, 3, 4))
    # an exactly empty part agrees with itself: (0 + ε) / (0 + ε) = 1
    return 1 - ((2 * overlap + EPSILON) / (total + EPSILON)).mean(dim=1)
