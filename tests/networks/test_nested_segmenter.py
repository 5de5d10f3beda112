"""Masks that refine masks."""

import torch
from small_plan import CONFIGURATION
from torch import nn

from dd_nnunet.core.part_tree import PartTree
from dd_nnunet.core.plan import LevelGroup, LevelPlan
from dd_nnunet.networks.segmentation_unet import (
    NestedSegmenter,
    build_group_segmenter,
    sibling_log_softmax,
)

TREE = PartTree((2, 4, 5), ((0, 1, 1, 1), (0, 1, 2, 2, 3)))


def test_a_softmax_among_siblings_by_hand():
    logits = torch.tensor([7.0, 0.0, 1.0, -300.0]).reshape(1, 4, 1, 1, 1)
    shares = sibling_log_softmax(logits, (0, 1, 1, 2)).exp().flatten()
    # alone, 1 / (1 + e), e / (1 + e), alone however improbable
    torch.testing.assert_close(shares, torch.tensor([1.0, 0.26894, 0.73106, 1.0]), atol=1e-5, rtol=0)


def test_children_sum_to_their_parent():
    torch.manual_seed(0)
    masks = NestedSegmenter(nn.Conv3d(1, 11, 3, padding=1), TREE)(torch.randn(2, 1, 6, 6, 6)).exp()
    first, second, third = (masks[:, channels] for channels in TREE.channels)
    torch.testing.assert_close(first.sum(dim=1), torch.ones(2, 6, 6, 6))
    torch.testing.assert_close(second[:, 0], first[:, 0])
    torch.testing.assert_close(second[:, 1:].sum(dim=1), first[:, 1])
    torch.testing.assert_close(third[:, 2:4].sum(dim=1), second[:, 2])
    torch.testing.assert_close(third[:, 4], second[:, 3])


def test_a_group_of_one_is_the_plain_network():
    one, two = LevelPlan(1, 2, (1,)), LevelPlan(2, 3, (1,))
    assert not isinstance(
        build_group_segmenter(CONFIGURATION.segmenter, 1, LevelGroup((two,))), NestedSegmenter
    )
    both = build_group_segmenter(CONFIGURATION.segmenter, 1, LevelGroup((one, two), ((0, 1, 1),)))
    assert isinstance(both, NestedSegmenter)
    assert both(torch.rand(1, 1, 16, 16, 16)).shape == (1, 5, 16, 16, 16)
