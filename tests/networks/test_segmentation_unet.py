"""The segmenter, and how it resizes what it is given."""

import dataclasses

import pytest
import torch
from torch import nn

from dd_nnunet.core.plan import SegmenterPlan
from dd_nnunet.networks.segmentation_unet import (
    ChannelwiseGroupNorm,
    ResizedInside,
    build_segmenter,
    inner_size,
)

PLAN = SegmenterPlan(
    (4, 8),
    ((1, 1, 1), (2, 2, 2)),
    ((3, 3, 3), (3, 3, 3)),
    1,
    1,
    1,
    1,
    0,
    1e-3,
    1.0,
    1.0,
    1.0,
    False,
    (0.9, 1.1),
)
RELEASED = dataclasses.replace(
    PLAN, features_per_stage=(8, 16, 16, 32, 32, 64, 64), kernel_sizes_zyx=((3, 3, 3),) * 7,
    strides_zyx=tuple((s, s, s) for s in (1, 2, 1, 2, 1, 2, 1)), inner_multiple=16, norm="batch", dropout=0.2,
)  # fmt: skip


def test_the_largest_multiple_that_is_not_above() -> None:
    assert inner_size((50, 64, 31), 16) == [48, 64, 16]
    # never nothing at all
    assert inner_size((7, 16, 17), 16) == [16, 16, 16]


def test_resizing_there_and_back_against_a_slow_loop() -> None:
    x = torch.randn(1, 2, 5, 7, 4, generator=torch.Generator().manual_seed(0))
    result = ResizedInside(nn.Identity(), 4)(x)
    # voxel i of n is voxel floor(i m / n) of m, and that one is voxel floor(j n / m) of n: 5 -> 4 -> 5, 7 -> 4 -> 7
    for z in range(5):
        for y in range(7):
            z_source, y_source = int(int(z * 4 / 5) * 5 / 4), int(int(y * 4 / 7) * 7 / 4)
            assert torch.equal(result[0, :, z, y], x[0, :, z_source, y_source])


def test_the_network_itself_sees_the_inner_size() -> None:
    seen = []

    class Spy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(tuple(x.shape))
            return x

    assert ResizedInside(Spy(), 16)(torch.zeros(1, 1, 50, 50, 18)).shape == (1, 1, 50, 50, 18)
    assert seen == [(1, 1, 48, 48, 16)]


def test_the_released_segmenter_takes_any_size() -> None:
    network = build_segmenter(RELEASED, 1, 3)
    kinds = {type(module) for module in network.modules()}
    assert nn.BatchNorm3d in kinds and ChannelwiseGroupNorm not in kinds
    assert {module.p for module in network.modules() if isinstance(module, nn.Dropout3d)} == {0.2}
    assert network(torch.rand(1, 1, 18, 17, 20)).shape == (1, 3, 18, 17, 20)


def test_by_default_nothing_is_resized_or_dropped() -> None:
    network = build_segmenter(PLAN, 1, 3)
    kinds = {type(module) for module in network.modules()}
    assert ChannelwiseGroupNorm in kinds
    assert not {ResizedInside, nn.BatchNorm3d, nn.Dropout3d} & kinds


@pytest.mark.parametrize("wrong", [{"inner_multiple": 0}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_impossible_plans_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        dataclasses.replace(PLAN, **wrong)


def test_normalization_is_that_of_each_instance_and_channel() -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 4, 5, 6, generator=random).to(memory_format=torch.channels_last_3d)
    norm, torchs = ChannelwiseGroupNorm(3, eps=1e-5, affine=True), nn.InstanceNorm3d(3, eps=1e-5, affine=True)
    torchs.weight.data, torchs.bias.data = torch.tensor([1.0, 2.0, -3.0]), torch.tensor([0.5, 0.0, 1.0])
    # models that were trained with the one are read by the other
    norm.load_state_dict(torchs.state_dict())
    result = norm(x)
    assert result.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(result, torchs(x))
    for image in range(2):
        for channel, (weight, bias) in enumerate(((1.0, 0.5), (2.0, 0.0), (-3.0, 1.0))):
            values = x[image, channel].double()
            expected = (values - values.mean()) / (values.var(correction=0) + 1e-5).sqrt() * weight + bias
            torch.testing.assert_close(result[image, channel].double(), expected, atol=1e-5, rtol=1e-5)
