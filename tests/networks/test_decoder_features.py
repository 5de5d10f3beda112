"""Features of a volume: averages, tiles, early exit."""

import pytest
import torch

from dd_nnunet.core.plan import DiffusionPlan, FeaturePlan
from dd_nnunet.networks.decoder_features import DecoderFeatures
from dd_nnunet.networks.device import choose_runtime
from dd_nnunet.networks.diffusion_unet import DiffusionUNet

PLAN = DiffusionPlan(
    channels=(4, 8), strides_zyx=((2, 2, 2),), kernel_sizes_zyx=((3, 3, 3), (3, 3, 3)),
    n_timesteps=50, batch_size=1, iterations=1, learning_rate=1e-4, ema_decay=0.9,
)  # fmt: skip
DENOISED = FeaturePlan(timesteps=(5, 9), n_draws=2, scaling="none", n_components=0, visual_target="denoised")
IMAGE = FeaturePlan(timesteps=(5, 9), n_draws=2, scaling="none", n_components=0, visual_target="image")
RUNTIME = choose_runtime("cpu", "float32")


@pytest.fixture
def network() -> DiffusionUNet:
    torch.manual_seed(0)
    return DiffusionUNet(PLAN, 1).eval()


def test_one_tile_is_the_mean_over_timesteps_and_draws(network: DiffusionUNet) -> None:
    image = torch.rand(1, 8, 8, 8, generator=torch.Generator().manual_seed(1))
    reader = DecoderFeatures(network, DENOISED, (1,), 50, RUNTIME)
    features = reader.of_volume(image, (8, 8, 8), seed=7)
    generator = torch.Generator().manual_seed(7)
    stages, predictions = [], []
    for timestep in (5, 9):
        noise = torch.randn((2, 1, 8, 8, 8), generator=generator)
        signal = reader.alphas_cumprod[timestep]
        for draw in noise:
            x_t = signal.sqrt() * (2 * image - 1) + (1 - signal).sqrt() * draw
            with torch.no_grad():
                stages.append(network.decoder_stages(x_t[None], torch.tensor([timestep]), 1)[0][0])
                predictions.append(network(x_t[None], torch.tensor([timestep]))[0])
    assert torch.allclose(features.activations[1], torch.stack(stages).mean(dim=0), atol=1e-5)
    expected = ((torch.stack(predictions).mean(dim=0) + 1) / 2).clamp(0, 1)
    assert features.denoised is not None
    assert torch.allclose(features.denoised, expected, atol=1e-5)


def test_without_a_denoised_target_the_last_stages_are_left_out(network: DiffusionUNet) -> None:
    image = torch.rand(1, 8, 8, 8)
    called = []
    network.decoder[1].register_forward_hook(lambda *_: called.append(1))
    features = DecoderFeatures(network, IMAGE, (1,), 50, RUNTIME).of_volume(image, (8, 8, 8), seed=0)
    assert features.denoised is None
    assert not called


def test_tiles_cover_a_large_volume(network: DiffusionUNet) -> None:
    image = torch.rand(1, 8, 20, 12)
    features = DecoderFeatures(network, DENOISED, (1, 2), 50, RUNTIME).of_volume(image, (8, 8, 8), seed=0)
    assert features.activations[1].shape == (4, 4, 10, 6)
    assert features.activations[2].shape == (4, 8, 20, 12)
    assert torch.isfinite(features.activations[1]).all()
    assert features.denoised is not None and float(features.denoised.max()) <= 1


def test_same_seed_same_features(network: DiffusionUNet) -> None:
    image = torch.rand(1, 8, 8, 8)
    reader = DecoderFeatures(network, IMAGE, (1,), 50, RUNTIME)
    first, again, other = (reader.of_volume(image, (8, 8, 8), seed).activations[1] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
