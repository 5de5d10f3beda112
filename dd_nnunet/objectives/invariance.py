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
    return _dice_loss(masks, transformed, masks.square(), transformed.square())


def photometric_invariance_of_sums(masks: Tensor, transformed: Tensor) -> Tensor:
    """Eq. 8 without the squares of its denominator: 1 − 1/K Σ_k 2 Σ_u f_ku f'_ku / (Σ_u f_ku + Σ_u f'_ku).

    As the authors' released code has it, for ablation: equal masks cost the more, the less sure they are, and a part
    that is almost empty costs as much as one that changes altogether.

    Args:
        masks: [B,K,Z,Y,X] f(x) in [0,1].
        transformed: [B,K,Z,Y,X] f(T(x)) in [0,1].

    Returns:
        [B] in [0,1]; 0 for masks that are equal and hold 0 and 1 only.
    """
    return _dice_loss(masks, transformed, masks, transformed)


def _dice_loss(masks: Tensor, transformed: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """One minus twice the overlap over the sums of `first` and `second`, averaged over the parts: [B]."""
    overlap = torch.einsum("bkzyx,bkzyx->bk", masks, transformed)
    total = first.sum(dim=(2, 3, 4)) + second.sum(dim=(2, 3, 4))
    # an exactly empty part agrees with itself: (0 + ε) / (0 + ε) = 1
    return 1 - ((2 * overlap + EPSILON) / (total + EPSILON)).mean(dim=1)
