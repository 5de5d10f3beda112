"""The diffusion U-Net: predicts the clean volume from a noisy one, and hands out its decoder stages."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from dynamic_network_architectures.building_blocks.simple_conv_blocks import ConvDropoutNormReLU
from torch import Tensor, nn

from dd_nnunet.core.network_plans import norm_groups
from dd_nnunet.core.plan import DiffusionPlan, Zyx

GROUPS = 8


@dataclass(frozen=True)
class DecoderStage:
    """One decoder stage as a source of features: its number (1 = coarsest), channels and voxels per cell."""

    stage: int
    channels: int
    reduction_zyx: Zyx


class ChannelGroupNorm(nn.GroupNorm):
    """GroupNorm that takes the channels only, as dynamic-network-architectures calls its norms."""

    def __init__(self, channels: int) -> None:
        super().__init__(norm_groups(channels), channels)


def convolution(in_channels: int, out_channels: int, kernel_zyx: Zyx, activated: bool) -> nn.Module:
    """Convolution and GroupNorm, then SiLU if `activated`."""
    block: nn.Module = ConvDropoutNormReLU(
        nn.Conv3d, in_channels, out_channels, list(kernel_zyx), 1,
        norm_op=ChannelGroupNorm, nonlin=nn.SiLU if activated else None,
    )  # fmt: skip
    return block


class TimeEmbedding(nn.Module):
    """Sinusoids of the timestep, then two linear layers.

    Source: Vaswani et al. 2017, as used for timesteps by Ho et al., NeurIPS 2020.
    """

    frequencies: Tensor

    def __init__(self, width: int, n_frequencies: int = 32) -> None:
        super().__init__()
        steps = torch.arange(n_frequencies, dtype=torch.float32) / n_frequencies
        self.register_buffer("frequencies", torch.exp(-math.log(10_000.0) * steps), persistent=False)
        self.layers = nn.Sequential(nn.Linear(2 * n_frequencies, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, timestep: Tensor) -> Tensor:
        """timestep: [B] int -> [B,W]."""
        angles = timestep.float()[:, None] * self.frequencies
        embedded: Tensor = self.layers(torch.cat((angles.sin(), angles.cos()), dim=1))
        return embedded


class TimedResidualBlock(nn.Module):
    """Two convolutions with a skip; the timestep scales and shifts the channels between them (FiLM)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_zyx: Zyx, time_width: int) -> None:
        super().__init__()
        self.first = convolution(in_channels, out_channels, kernel_zyx, activated=False)
        self.scale_and_shift = nn.Linear(time_width, 2 * out_channels)
        self.second = convolution(out_channels, out_channels, kernel_zyx, activated=True)
        same = in_channels == out_channels
        self.skip = nn.Identity() if same else nn.Conv3d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x: [B,C,Z,Y,X], time: [B,W] -> [B,C',Z,Y,X]."""
        scale, shift = self.scale_and_shift(time)[..., None, None, None].chunk(2, dim=1)  # [B,C',1,1,1]
        h = nn.functional.silu(torch.addcmul(shift, self.first(x), 1 + scale))
        result: Tensor = self.second(h) + self.skip(x)
        return result


class DiffusionUNet(nn.Module):
    """3-D U-Net with time conditioning.

    Stage s of the decoder (1 = coarsest, at the bottleneck's resolution) joins what comes from below with the
    encoder's skip of that resolution; its output, before up-sampling, is the stage's features. It already has
    the channels of the next finer resolution (256, 128, 64 for the paper's 64·(1,2,4,8)).

    Args:
        plan: channels, strides and kernels per resolution.
        n_image_channels: channels of the volume.

    Source: the ladder-like U-Net of Fig. 1 of the paper.
    """

    def __init__(self, plan: DiffusionPlan, n_image_channels: int) -> None:
        super().__init__()
        channels, kernels, strides = plan.channels, plan.kernel_sizes_zyx, plan.strides_zyx
        width = 4 * channels[0]
        self.total_reduction_zyx = plan.stage_reduction_zyx(1)
        self.stages = tuple(
            DecoderStage(s, channels[max(plan.n_stages - s - 1, 0)], plan.stage_reduction_zyx(s))
            for s in range(1, plan.n_stages + 1)
        )
        block: Any = TimedResidualBlock
        self.time = TimeEmbedding(width)
        z, y, x = kernels[0]
        self.stem = nn.Conv3d(n_image_channels, channels[0], kernels[0], padding=(z // 2, y // 2, x // 2))
        self.encoder = nn.ModuleList(block(c, c, k, width) for c, k in zip(channels, kernels, strict=True))
        self.down = nn.ModuleList(
            nn.Conv3d(fine, coarse, stride, stride)
            for fine, coarse, stride in zip(channels[:-1], channels[1:], strides, strict=True)
        )
        self.middle = block(channels[-1], channels[-1], kernels[-1], width)
        self.decoder = nn.ModuleList(
            block(2 * c, stage.channels, k, width)
            for stage, c, k in zip(self.stages, channels[::-1], kernels[::-1], strict=True)
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(stage.channels, stage.channels, stride, stride)
            for stage, stride in zip(self.stages, strides[::-1], strict=False)
        )
        self.head = nn.Conv3d(channels[0], n_image_channels, 1)

    def forward(self, x_t: Tensor, timestep: Tensor) -> Tensor:
        """Predict the clean volume.

        Args:
            x_t: [B,C,Z,Y,X] noisy volume, Z, Y, X multiples of `total_reduction_zyx`; about [-1,1].
            timestep: [B] int in [0, T-1].

        Returns:
            [B,C,Z,Y,X] prediction of x0 in [-1,1] (not clipped).
        """
        prediction: Tensor = self.head(self.decoder_stages(x_t, timestep, len(self.stages))[-1])
        return prediction

    def decoder_stages(self, x_t: Tensor, timestep: Tensor, last_stage: int) -> list[Tensor]:
        """Activations of the decoder stages 1 … `last_stage`; the later ones are not computed.

        Returns:
            `last_stage` tensors [B,C_s,Z/r_s,Y/r_s,X/r_s], as `self.stages` describes them.

        Source: φ of Eq. (6) before up-sampling.
        """
        self._check_shape(x_t)
        time = self.time(timestep)
        x, skips = self.stem(x_t), []
        for level, block in enumerate(self.encoder):
            x = block(x, time)
            skips.append(x)
            if level < len(self.down):
                x = self.down[level](x)
        x = self.middle(x, time)
        activations: list[Tensor] = []
        for index in range(last_stage):
            if index > 0:
                x = self.up[index - 1](x)
            x = self.decoder[index](torch.cat((x, skips.pop()), dim=1), time)
            activations.append(x)
        return activations

    def _check_shape(self, x: Tensor) -> None:
        for size, divisor in zip(x.shape[2:], self.total_reduction_zyx, strict=True):
            assert size % divisor == 0, (
                f"shape {tuple(x.shape)} must be a multiple of {self.total_reduction_zyx}"
            )
