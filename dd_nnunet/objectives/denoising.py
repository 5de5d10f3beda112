"""The loss of diffusion pretraining."""

from torch import Tensor


def denoising_loss(prediction: Tensor, x0: Tensor) -> Tensor:
    """Mean absolute difference per image: [B,C,Z,Y,X] twice -> [B].

    Source: section 4.2 of the paper ("L1 loss between the denoised and the original images").
    """
    return (prediction.to(x0.dtype) - x0).abs().flatten(1).mean(dim=1)
