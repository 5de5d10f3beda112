"""Consistency within parts, against a loop over voxels in float64."""

import pytest
import torch

from dd_nnunet.objectives.consistency import consistency, represent_cells, represent_voxels
from dd_nnunet.objectives.nested_consistency import nested_consistency
from dd_nnunet.objectives.upsampling import axis_matrices

PARENTS = (0, 1, 1, 2, 2, 2)


def random_masks(n_parts, shape, seed=0):
    torch.manual_seed(seed)
    return torch.randn(2, n_parts, *shape, dtype=torch.float64).softmax(dim=1)


def slowly(masks, parents, h, scale_free):
    """By the definition: each part's children around their means, over the part around its mean."""
    values = []
    for image, features in zip(masks.flatten(2), h.flatten(2), strict=True):
        terms = []
        for parent in sorted(set(parents)):
            children = [k for k, p in enumerate(parents) if p == parent]
            if len(children) == 1:
                continue
            weight = sum(image[k] for k in children)
            mean = (features * weight).sum(dim=1) / weight.sum()
            total = sum(weight[u] * (features[:, u] - mean).square().sum() for u in range(len(weight)))
            left = 0.0
            for k in children:
                centre = (features * image[k]).sum(dim=1) / image[k].sum()
                left += sum(
                    image[k, u] * (features[:, u] - centre).square().sum() for u in range(len(weight))
                )
            terms.append(left / total if scale_free else left / len(weight))
        values.append(sum(terms) / len(terms) if scale_free else sum(terms))
    return torch.stack(values)


@pytest.mark.parametrize("scale_free", [True, False])
def test_by_the_definition(scale_free):
    masks = random_masks(6, (3, 4, 2))
    h = torch.randn(2, 5, 3, 4, 2, dtype=torch.float64)
    found = nested_consistency(masks, PARENTS, represent_voxels(h), scale_free)
    torch.testing.assert_close(found, slowly(masks, PARENTS, h, scale_free), rtol=1e-10, atol=0)


def test_of_a_single_parent_it_is_the_plain_one():
    masks = random_masks(3, (4, 4, 4))
    h = represent_voxels(torch.randn(2, 2, 4, 4, 4, dtype=torch.float64))
    for scale_free in (True, False):
        torch.testing.assert_close(
            nested_consistency(masks, (0, 0, 0), h, scale_free), consistency(masks, h, scale_free)
        )


def test_at_low_resolution_it_is_that_of_the_cells():
    """Cells as heavy as the voxels that are interpolated from them."""
    masks = random_masks(6, (4, 4, 4))
    cells = torch.randn(2, 3, 2, 2, 2, dtype=torch.float64)
    matrices = tuple(
        m.double().expand(2, -1, -1) for m in axis_matrices((4, 4, 4), (2, 2, 2), (2, 2, 2), (0, 0, 0))
    )
    weights = torch.einsum("bkzyx,bzp,byq,bxr->bkpqr", masks, *matrices)
    found = nested_consistency(masks, PARENTS, represent_cells(cells, matrices), True)
    torch.testing.assert_close(found, slowly(weights, PARENTS, cells, True))
    assert bool(((found >= 0) & (found <= 1)).all())


@pytest.mark.parametrize("cell", [2, 4])
def test_of_cells_it_is_never_below_that_of_the_features_at_voxels(cell):
    """The sum of squares is that of the cells: a bound of that of the up-sampled features."""
    masks = random_masks(6, (4, 4, 4))
    n_cells = (4 // cell,) * 3
    cells = torch.randn(2, 3, *n_cells, dtype=torch.float64)
    matrices = tuple(
        m.double().expand(2, -1, -1) for m in axis_matrices((4, 4, 4), n_cells, (cell,) * 3, (0, 0, 0))
    )
    features = torch.einsum("bcpqr,bzp,byq,bxr->bczyx", cells, *matrices)
    bound = nested_consistency(masks, PARENTS, represent_cells(cells, matrices), False)
    exact = slowly(masks, PARENTS, features, False)
    assert bool((bound >= exact - 1e-12).all())


def test_a_small_part_counts_as_much_as_a_large_one():
    """Part 1 of 60 voxels and part 2 of 4, each half explained: the mean of 0.5 and 0.5, and of 1 and 0."""
    parent = torch.tensor([1] * 60 + [2] * 4)
    labels = torch.where(torch.arange(64) % 2 == 0, 0, 1) + 2 * (parent - 1)
    masks = torch.nn.functional.one_hot(labels, 4).T.double().reshape(1, 4, 4, 4, 4)
    h = torch.where(
        parent == 2, (labels == 3).double(), torch.arange(64).remainder(4).floor_divide(2).double()
    )
    found = nested_consistency(masks, (0, 0, 1, 1), represent_voxels(h.reshape(1, 1, 4, 4, 4)), True)
    # part 1's children are as the coin falls: nothing explained; part 2's are all of it
    torch.testing.assert_close(found, torch.tensor([0.5], dtype=torch.float64))


def test_a_part_that_is_not_there_does_not_count():
    masks = torch.zeros(1, 4, 2, 2, 2)
    masks[:, 0, 0], masks[:, 1, 1] = 1, 1
    h = represent_voxels(torch.arange(8.0).reshape(1, 1, 2, 2, 2))
    found = nested_consistency(masks, (0, 0, 1, 1), h, True)
    torch.testing.assert_close(found, consistency(masks[:, :2], h, True))
    assert nested_consistency(masks, (0, 1, 2, 3), h, True).tolist() == [0.0]
    masks.requires_grad_()
    nested_consistency(masks, (0, 0, 1, 1), h, True).sum().backward()
    assert bool(masks.grad.isfinite().all())
