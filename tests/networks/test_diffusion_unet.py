"""The diffusion U-Net: stages, early exit, time."""

import pytest
import torch

from dd_nnunet.core.plan import DiffusionPlan
from dd_nnunet.networks.diffusion_unet import DecoderStage, DiffusionUNet

PLAN = DiffusionPlan(
    channels=(8, 16, 32), strides_zyx=((1, 2, 2), (2, 2, 2)), kernel_sizes_zyx=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
    n_timesteps=250, batch_size=1, iterations=1, learning_rate=1e-4, ema_decay=0.9,
)  # fmt: skip


@pytest.fixture
def network() -> DiffusionUNet:
    torch.manual_seed(0)
    return DiffusionUNet(PLAN, n_image_channels=2).eval()


def test_stages_say_what_they_are(network: DiffusionUNet) -> None:
    assert network.stages == (
        DecoderStage(1, 16, (2, 4, 4)),
        DecoderStage(2, 8, (1, 2, 2)),
        DecoderStage(3, 8, (1, 1, 1)),
    )


def test_activations_have_the_promised_shapes(network: DiffusionUNet) -> None:
    x, t = torch.randn(1, 2, 4, 8, 8), torch.tensor([25])
    shapes = [tuple(a.shape) for a in network.decoder_stages(x, t, 3)]
    assert shapes == [(1, 16, 2, 2, 2), (1, 8, 4, 4, 4), (1, 8, 4, 8, 8)]
    assert network(x, t).shape == x.shape


def test_early_exit_gives_the_same_and_computes_less(network: DiffusionUNet) -> None:
    x, t = torch.randn(1, 2, 4, 8, 8), torch.tensor([25])
    called = []
    for index, block in enumerate(network.decoder):
        block.register_forward_hook(lambda *_, index=index: called.append(index))
    whole = network.decoder_stages(x, t, 3)
    called.clear()
    early = network.decoder_stages(x, t, 1)
    assert called == [0]
    assert torch.equal(early[0], whole[0])


def test_the_timestep_matters(network: DiffusionUNet) -> None:
    x = torch.randn(1, 2, 4, 8, 8)
    assert not torch.allclose(network(x, torch.tensor([5])), network(x, torch.tensor([200])))


def test_the_paper_network_has_its_channels() -> None:
    paper = DiffusionPlan((64, 128, 256, 512), ((2, 2, 2),) * 3, ((3, 3, 3),) * 4, 250, 4, 1, 1e-4, 0.9)
    with torch.device("meta"):
        stages = DiffusionUNet(paper, 1).stages
    # 256, 128 and 64 channels at an eighth, a quarter and half of the resolution
    assert [(s.channels, s.reduction_zyx[0]) for s in stages] == [(256, 8), (128, 4), (64, 2), (64, 1)]


def test_a_shape_that_does_not_fit_is_named(network: DiffusionUNet) -> None:
    with pytest.raises(AssertionError, match="must be a multiple of"):
        network(torch.zeros(1, 2, 4, 8, 6), torch.tensor([1]))
