"""What the frozen diffusion model says of a volume: decoder activations and a denoised copy (Fig. 1)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dd_nnunet.core.noise_schedule import cosine_alphas_cumprod
from dd_nnunet.core.plan import FeaturePlan, Zyx
from dd_nnunet.core.tiling import gaussian_window, iterate_tiles
from dd_nnunet.networks.device import Runtime
from dd_nnunet.networks.diffusion_unet import DiffusionUNet
from dd_nnunet.networks.noising import add_noise, to_image_range, to_model_range

TILE_STEP = 0.5


@dataclass(frozen=True)
class CaseFeatures:
    """Averages over timesteps and noise draws.

    Args:
        activations: stage -> [p,z,y,x] float32 at that stage's resolution.
        denoised: [C,Z,Y,X] float32, mean x0-prediction in [0,1]; None if the last stage was not needed.
    """

    activations: dict[int, Tensor]
    denoised: Tensor | None


class DecoderFeatures:
    """Reads features of the wanted stages, stopping after the last one that is needed.

    Args:
        network: trained diffusion model, in eval mode on the runtime's device.
        plan: timesteps, draws and whether a denoised copy is wanted.
        stages: decoder stages, 1 = coarsest.
        n_timesteps: T of the noise schedule.
        runtime: device and number format.
    """

    def __init__(
        self,
        network: DiffusionUNet,
        plan: FeaturePlan,
        stages: Sequence[int],
        n_timesteps: int,
        runtime: Runtime,
    ) -> None:
        self.network = network
        self.plan = plan
        self.stages = tuple(sorted(stages))
        self.alphas_cumprod = torch.from_numpy(cosine_alphas_cumprod(n_timesteps)).float()
        self.runtime = runtime
        self.wants_denoised = plan.visual_target == "denoised"

    @torch.inference_mode()
    def of_volume(self, image: Tensor, tile_zyx: Zyx, seed: int) -> CaseFeatures:
        """Features of a whole volume, tile by tile, overlaps blended with Gaussian weights.

        Args:
            image: [C,Z,Y,X] in [0,1], on the CPU; shape a multiple of the network's total reduction and at
                least the tile.
            tile_zyx: a multiple of the total reduction.
            seed: decides all noise; the same seed gives the same features.
        """
        shape: Zyx = (image.shape[1], image.shape[2], image.shape[3])
        reductions = {s: self.network.stages[s - 1].reduction_zyx for s in self.stages}
        sums = {s: _Blend(self.network.stages[s - 1].channels, shape, r) for s, r in reductions.items()}
        denoised = _Blend(image.shape[0], shape, (1, 1, 1)) if self.wants_denoised else None
        starts = iterate_tiles(shape, tile_zyx, TILE_STEP, self.network.total_reduction_zyx)
        for index, start in enumerate(starts):
            box = tuple(slice(s, s + t) for s, t in zip(start, tile_zyx, strict=True))
            activations, prediction = self._of_tile(image[(slice(None), *box)], seed + index)
            for stage, blend in sums.items():
                blend.add(activations[stage], start)
            if denoised is not None and prediction is not None:
                denoised.add(prediction, start)
        means = {stage: blend.mean() for stage, blend in sums.items()}
        return CaseFeatures(means, None if denoised is None else denoised.mean())

    def _of_tile(self, tile: Tensor, seed: int) -> tuple[dict[int, Tensor], Tensor | None]:
        x0 = to_model_range(tile[None])
        generator = torch.Generator().manual_seed(seed)
        last = len(self.network.stages) if self.wants_denoised else self.stages[-1]
        sums: dict[int, Tensor] = {}
        predictions: list[Tensor] = []
        for timestep in self.plan.timesteps:
            noise = torch.randn((self.plan.n_draws, *tile.shape), generator=generator)
            x_t = self.runtime.place(add_noise(x0, noise, self.alphas_cumprod[timestep][None]))
            times = torch.full((self.plan.n_draws,), timestep, device=x_t.device)
            with self.runtime.autocast():
                activations = self.network.decoder_stages(x_t, times, last)
                if self.wants_denoised:
                    predictions.append(self.network.head(activations[-1]).float().mean(dim=0))
            for stage in self.stages:
                mean = activations[stage - 1].float().mean(dim=0) / len(self.plan.timesteps)
                sums[stage] = sums[stage] + mean if stage in sums else mean
        stages = {stage: value.cpu() for stage, value in sums.items()}
        if not predictions:
            return stages, None
        return stages, to_image_range(torch.stack(predictions).mean(dim=0)).cpu()


class _Blend:
    """Weighted mean of overlapping tiles at a stage's resolution."""

    def __init__(self, channels: int, shape: Zyx, reduction: Zyx) -> None:
        cells = [s // r for s, r in zip(shape, reduction, strict=True)]
        self.reduction = reduction
        self.total = torch.zeros(channels, *cells)
        self.weight = torch.zeros(*cells)

    def add(self, values: Tensor, start: Zyx) -> None:
        """Add [C,z,y,x] at the cell of voxel `start`."""
        cells: Zyx = (values.shape[1], values.shape[2], values.shape[3])
        box = tuple(slice(s // r, s // r + n) for s, r, n in zip(start, self.reduction, cells, strict=True))
        window = torch.from_numpy(gaussian_window(cells))
        self.total[(slice(None), *box)] += values * window
        self.weight[box] += window

    def mean(self) -> Tensor:
        """[C,z,y,x]."""
        return self.total / self.weight
