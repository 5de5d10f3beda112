"""Exact consistency against the direct form of Eq. 5: time, value and gradient, side by side in one run.

    python benchmarks/consistency_loss.py            # writes benchmarks/results/consistency_loss.json
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
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
    """Random logits [1,K,Z,Y,X], features [1,p,z,y,x] and the up-sampling from 8³ to 50³ (6.25 voxels a cell)."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, PARTS, SIZE, SIZE, SIZE, generator=generator, dtype=dtype)
    features = torch.randn(1, CHANNELS, CELLS, CELLS, CELLS, generator=generator, dtype=dtype)
    reduction = -(-SIZE // CELLS)
    matrices = axis_matrices((SIZE,) * 3, (CELLS,) * 3, (reduction,) * 3, (0, 0, 0))
    return logits, features, tuple(m[None].to(dtype) for m in matrices)  # type: ignore[return-value]


def value_and_gradient(form: Callable[[Tensor], Tensor], logits: Tensor) -> tuple[Tensor, Tensor]:
    """The loss and its gradient with respect to the masks."""
    masks = logits.softmax(dim=1).requires_grad_()
    value = form(masks).sum()
    (gradient,) = torch.autograd.grad(value, masks)
    return value.detach(), gradient


def best_seconds(work: Callable[[], object], repeats: int) -> float:
    """Smallest wall time of `repeats` calls."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/consistency_loss.json")
    out = parser.parse_args().out
    logits, features, matrices = inputs(torch.float64)
    prepared = represent_cells(features, matrices)
    exact = value_and_gradient(lambda m: consistency(m, prepared, scale_free=False), logits)
    direct = value_and_gradient(lambda m: direct_form(m, features, matrices), logits)
    # the softmax forbids any common shift over K, so gradients are compared after removing it
    gradients = [g - g.mean(dim=1, keepdim=True) for g in (exact[1], direct[1])]
    logits, features, matrices = inputs(torch.float32)
    prepared = represent_cells(features, matrices)
    seconds_exact = best_seconds(
        lambda: value_and_gradient(lambda m: consistency(m, prepared, scale_free=False), logits), 20
    )
    seconds_softmax = best_seconds(lambda: logits.softmax(dim=1), 20)
    seconds_direct = best_seconds(
        lambda: value_and_gradient(lambda m: direct_form(m, features, matrices), logits), 3
    )
    result = {
        "command": "python benchmarks/consistency_loss.py",
        "size": SIZE, "parts": PARTS, "channels": CHANNELS, "cells": CELLS,
        "relative_value_difference_float64": float((exact[0] - direct[0]).abs() / direct[0].abs()),
        "relative_gradient_difference_float64": float((gradients[0] - gradients[1]).norm() / gradients[1].norm()),
        "seconds_exact_float32": seconds_exact - seconds_softmax,
        "seconds_direct_float32": seconds_direct - seconds_softmax,
        "ratio": (seconds_direct - seconds_softmax) / (seconds_exact - seconds_softmax),
        "largest_array_exact": max(PARTS * SIZE**3, CHANNELS * CELLS**3),
        "largest_array_direct": CHANNELS * SIZE**3,
        "torch": torch.__version__, "threads": torch.get_num_threads(), "machine": platform.processor() or platform.machine(),
    }  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
