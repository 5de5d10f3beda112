"""Eq. 5 in its exact form, against Eq. 5 as written."""

import itertools

import pytest
import torch
from torch import Tensor

from dd_nnunet.objectives.consistency import consistency, represent_cells, represent_voxels, unexplained_map
from dd_nnunet.objectives.upsampling import axis_matrices, spread


def equation_5(masks: Tensor, h: Tensor) -> Tensor:
    """Slow loops over parts and voxels; masks [K,Z,Y,X], h [C,Z,Y,X]."""
    n_parts = len(masks)
    voxels = list(itertools.product(*(range(n) for n in h.shape[1:])))
    total = torch.zeros((), dtype=h.dtype)
    for k in range(n_parts):
        weight = sum(masks[k][u] for u in voxels)
        centre = sum(masks[k][u] * h[(slice(None), *u)] for u in voxels) / weight
        for u in voxels:
            total = total + masks[k][u] * (centre - h[(slice(None), *u)]).square().sum()
    return total / len(voxels)


def random_case(seed: int) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, 3, 4, 6, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    features = torch.randn(1, 2, 2, 3, 5, generator=generator, dtype=torch.float64)
    matrices = axis_matrices((4, 6, 5), (2, 3, 5), (2, 2, 1), (0, 0, 0))
    return logits, features, tuple(m[None].double() for m in matrices)  # type: ignore[return-value]


@pytest.mark.parametrize("seed", [0, 1])
def test_exact_form_has_value_and_gradient_of_equation_5(seed: int) -> None:
    logits, features, matrices = random_case(seed)
    masks = logits.softmax(dim=1)
    exact = consistency(masks, represent_cells(features, matrices), scale_free=False).sum()
    slow = equation_5(masks[0], spread(features, matrices)[0])
    (exact_gradient,) = torch.autograd.grad(exact, logits, retain_graph=True)
    (slow_gradient,) = torch.autograd.grad(slow, logits)
    assert float(exact) == pytest.approx(float(slow), rel=1e-6)
    assert torch.allclose(exact_gradient, slow_gradient, rtol=1e-5, atol=1e-9)


def test_voxel_form_is_equation_5() -> None:
    logits, _, _ = random_case(2)
    h = torch.randn(1, 2, 4, 6, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    masks = logits.softmax(dim=1)
    exact = consistency(masks, represent_voxels(h), scale_free=False)
    assert float(exact) == pytest.approx(float(equation_5(masks[0], h[0])), rel=1e-9)


def test_two_sure_parts_by_hand() -> None:
    # values 0 0 | 1 3: means 0 and 2, squared distances 0 0 1 1 -> 2/4; variance about the mean 1 is 6/4
    h = torch.tensor([0.0, 0.0, 1.0, 3.0]).reshape(1, 1, 1, 1, 4)
    first = torch.tensor([1.0, 1.0, 0.0, 0.0])
    masks = torch.stack((first, 1 - first)).reshape(1, 2, 1, 1, 4)
    representation = represent_voxels(h)
    assert consistency(masks, representation, scale_free=False).tolist() == pytest.approx([0.5])
    assert consistency(masks, representation, scale_free=True).tolist() == pytest.approx([1 / 3])
    assert unexplained_map(masks, representation).flatten().tolist() == pytest.approx([0, 0, 1, 1], abs=1e-6)


def test_scale_free_ignores_scale_and_offset() -> None:
    logits, features, matrices = random_case(4)
    masks = logits.softmax(dim=1)
    plain = consistency(masks, represent_cells(features, matrices), scale_free=True)
    other = consistency(masks, represent_cells(300 * features + 70, matrices), scale_free=True)
    assert float(plain) == pytest.approx(float(other), rel=1e-9)
    assert 0 < float(plain) < 1


def test_a_constant_image_is_no_division_by_zero() -> None:
    masks = torch.full((1, 2, 2, 2, 2), 0.5)
    assert consistency(masks, represent_voxels(torch.ones(1, 1, 2, 2, 2)), scale_free=True).tolist() == [0]
