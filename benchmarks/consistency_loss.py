"""Exact consistency against the direct form of Eq. 5: time, value and gradient, side by side in one run.

python benchmarks/consistency_loss.py            # writes benchmarks/results/consistency_loss.json
"""

from collections.abc import Callable

import torch
from measuring import best_seconds, machine, write_result
from torch import Tensor

from dd_nnunet.objectives.consistency import consistency, represent_cells
from dd_nnunet.objectives.upsampling import axis_matrices

SIZE, PARTS, CHANNELS, CELLS = 50, 4, 256, 8


def direct_form(masks: Tensor, features: Tensor, matrices: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Eq. 5 as written: up-sample, part means, squared distances."""
    h = torch.einsum("bpzyx,bZz,bYy,bXx->bpZYX", features, *matrices)  # [B,p,Z,Y,X]
    volumes = masks.sum(dim=(2, 3, 4))  # [B,K]
    n_voxels = h[0, 0].numel()
    total = h.new_zeros(h.shape[0])
    for k in range(masks.shape[1]):
        centre = (masks[:, k, None] * h).sum(dim=(2, 3, 4)) / volumes[:, k, None]  # [B,p]
        distance = (h - centre[..., None, None, None]).square().sum(dim=1)  # [B,Z,Y,X]
        total = total + (masks[:, k] * distance).sum(dim=(1, 2, 3))
    return total / n_voxels


def inputs(dtype: torch.dtype) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Random masks [1,K,Z,Y,X], features [1,p,z,y,x] and the up-sampling from 8³ to 50³ (7 voxels a cell)."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, PARTS, SIZE, SIZE, SIZE, generator=generator, dtype=dtype)
    features = torch.randn(1, CHANNELS, CELLS, CELLS, CELLS, generator=generator, dtype=dtype)
    reduction = -(-SIZE // CELLS)
    matrices = axis_matrices((SIZE,) * 3, (CELLS,) * 3, (reduction,) * 3, (0, 0, 0))
    z, y, x = (m[None].to(dtype) for m in matrices)
    return logits.softmax(dim=1).requires_grad_(), features, (z, y, x)


def value_and_gradient(loss: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """The loss and its gradient with respect to the masks."""
    (gradient,) = torch.autograd.grad(loss.sum(), masks)
    return loss.detach().sum(), gradient


def two_forms(
    dtype: torch.dtype,
) -> tuple[Callable[[], tuple[Tensor, Tensor]], Callable[[], tuple[Tensor, Tensor]]]:
    """Forward and backward of the exact and of the direct form on the same input."""
    masks, features, matrices = inputs(dtype)
    prepared = represent_cells(features, matrices)  # depends on the features alone: once per case
    return (
        lambda: value_and_gradient(consistency(masks, prepared, scale_free=False), masks),
        lambda: value_and_gradient(direct_form(masks, features, matrices), masks),
    )


def main() -> None:
    """Measure and write the result."""
    about = machine()
    exact, direct = (form() for form in two_forms(torch.float64))
    # masks sum to 1 over K, so only what is left after removing a common shift over K can act
    gradients = [g - g.mean(dim=1, keepdim=True) for g in (exact[1], direct[1])]
    difference = (gradients[0] - gradients[1]).norm() / gradients[1].norm()
    exact_form, direct_form_ = two_forms(torch.float32)
    seconds_exact, seconds_direct = best_seconds(exact_form, 20), best_seconds(direct_form_, 3)
    _, features, matrices = inputs(torch.float32)
    seconds_preparing = best_seconds(lambda: represent_cells(features, matrices), 20)
    write_result(
        "consistency_loss",
        {
            "command": "python benchmarks/consistency_loss.py",
            "size": SIZE,
            "parts": PARTS,
            "channels": CHANNELS,
            "cells": CELLS,
            "relative_value_difference_float64": float((exact[0] - direct[0]).abs() / direct[0].abs()),
            "relative_gradient_difference_float64": float(difference),
            "seconds_exact_float32": seconds_exact,
            "seconds_direct_float32": seconds_direct,
            "seconds_of_preparing_the_features": seconds_preparing,
            "ratio": seconds_direct / seconds_exact,
            "largest_array_exact": max(PARTS * SIZE**3, CHANNELS * CELLS**3),
            "largest_array_direct": CHANNELS * SIZE**3,
            "machine": about,
        },
    )


if __name__ == "__main__":
    main()
