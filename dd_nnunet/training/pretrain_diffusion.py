"""Diffusion pretraining: x0-prediction, L1, cosine schedule, EMA (section 4.2 of the paper)."""

import math
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dd_nnunet.core.errors import UserError
from dd_nnunet.core.noise_schedule import cosine_alphas_cumprod
from dd_nnunet.core.plan import ConfigurationPlan, DiffusionPlan
from dd_nnunet.core.splits import Fold
from dd_nnunet.networks.checkpoint import load_checkpoint, load_weights, save_checkpoint
from dd_nnunet.networks.device import Runtime
from dd_nnunet.networks.diffusion_unet import DiffusionUNet
from dd_nnunet.networks.noising import add_noise, to_model_range
from dd_nnunet.objectives.denoising import denoising_loss
from dd_nnunet.storage.run_folder import RunFolder
from dd_nnunet.training.batches import Batch, BatchSource, iterate_batches, mirroring, unchanged
from dd_nnunet.training.loop import train
from dd_nnunet.training.seeds import derive_seed
from dd_nnunet.training.setup import TrainingSetup

BLOCKS = 50
WARM_UP_SHARE = 0.05
FINAL_LEARNING_RATE_SHARE = 0.05
VALIDATION_VOLUMES = 8
GRADIENT_NORM = 1.0


def pretrain_diffusion(setup: TrainingSetup, run: RunFolder) -> DiffusionUNet:
    """Train the diffusion model, or continue where the last run stopped.

    Writes checkpoint_latest, checkpoint_best (lowest validation loss) and checkpoint_final (EMA weights).

    Returns:
        The network with its averaged weights, in eval mode on the device.

    Raises:
        StoppedError: the run was asked to end early; the same call continues.
        UserError: the losses stay no numbers.
    """
    trainer = _DiffusionTrainer(setup)
    train(trainer, setup, run)
    if run.read_log()[-1]["val_loss"] is None:
        reason = "the trained model gives NaN on the held-out volumes"
        raise UserError(run.path, reason, "lower learning_rate in the plan and give --fresh")
    path = run.path / "checkpoint_final.pth"
    save_checkpoint(path, {"network": trainer.ema.module.state_dict(), "iteration": trainer.n_iterations})
    return load_diffusion(setup.configuration, setup.n_channels, path, setup.runtime)


def load_diffusion(
    configuration: ConfigurationPlan, n_channels: int, path: Any, runtime: Runtime
) -> DiffusionUNet:
    """The trained diffusion model, frozen, in eval mode on the runtime's device."""
    network = DiffusionUNet(configuration.diffusion, n_channels)
    load_weights(network, load_checkpoint(path).get("network", {}), path)
    network.requires_grad_(False).eval()
    runtime.place_network(network)
    return network


def learning_rate(plan: DiffusionPlan, iteration: int) -> float:
    """Linear warm-up, then a half cosine down to a twentieth; recipe "plain": the same all along."""
    if plan.recipe == "plain":
        return plan.learning_rate
    warm_up = max(int(plan.iterations * WARM_UP_SHARE), 1)
    if iteration < warm_up:
        return plan.learning_rate * (iteration + 1) / warm_up
    progress = (iteration - warm_up) / max(plan.iterations - warm_up, 1)
    low = FINAL_LEARNING_RATE_SHARE
    return plan.learning_rate * (low + (1 - low) * (1 + math.cos(math.pi * progress)) / 2)


def validation_cases(fold: Fold) -> Sequence[str]:
    """Cases on which the validation loss is taken: a few, evenly spread."""
    step = max(len(fold.val) // VALIDATION_VOLUMES, 1)
    return fold.val[::step][:VALIDATION_VOLUMES]


class _DiffusionTrainer:
    """The `Trainer` of the diffusion model; an epoch is a fiftieth of its iterations."""

    name = "diffusion pretraining"
    shown: tuple[str, ...] = ("loss", "val_loss")

    def __init__(self, setup: TrainingSetup) -> None:
        self.setup = setup
        self.plan = setup.configuration.diffusion
        self.max_gradient_norm = math.inf if self.plan.recipe == "plain" else GRADIENT_NORM
        self.n_iterations = self.plan.iterations
        self.epoch_length = max(self.plan.iterations // BLOCKS, 1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(setup.seed, "diffusion weights"))
            network = DiffusionUNet(self.plan, setup.n_channels)
        self.network = setup.runtime.place_network(network)
        average = get_ema_multi_avg_fn(self.plan.ema_decay)  # type: ignore[no-untyped-call]
        self.ema = AveragedModel(self.network, multi_avg_fn=average)
        self.networks: dict[str, nn.Module] = {"network": self.network, "ema": self.ema}
        self.optimizer: torch.optim.Optimizer = torch.optim.Adam(
            self.network.parameters(), lr=self.plan.learning_rate
        )
        self.alphas_cumprod = torch.from_numpy(cosine_alphas_cumprod(self.plan.n_timesteps))
        self.best_val_loss = math.inf

    def memory(self) -> dict[str, Any]:
        return {"best_val_loss": self.best_val_loss}

    def remember(self, memory: Mapping[str, Any]) -> None:
        self.best_val_loss = float(memory["best_val_loss"])

    def batches(self, first_iteration: int) -> Generator[Batch, None, None]:
        source = BatchSource(
            self.setup.fold.train,
            self.setup.reader.diffusion_image,
            self.setup.configuration.diffusion_patch_zyx,
            self.plan.batch_size,
            derive_seed(self.setup.seed, "diffusion batches"),
        )
        transform = unchanged() if self.plan.recipe == "plain" else mirroring()
        return iterate_batches(source, transform, first_iteration, self.setup.n_workers)

    def learning_rate(self, iteration: int) -> float:
        return learning_rate(self.plan, iteration)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        x0 = to_model_range(torch.as_tensor(batch["data"]))
        random = torch.Generator().manual_seed(derive_seed(self.setup.seed, "noise", batch["iteration"]))
        timesteps = torch.randint(self.plan.n_timesteps, (len(x0),), generator=random)
        loss = self._loss(self.network, x0, timesteps, random)
        return loss, {"loss": loss.detach()}

    def after_step(self) -> None:
        self.ema.update_parameters(self.network)

    def end_epoch(self, epoch: int, means: Mapping[str, float], run: RunFolder) -> dict[str, Any]:
        entry = {
            "epoch": epoch,
            "iteration": min((epoch + 1) * self.epoch_length, self.n_iterations),
            "loss": means.get("loss", math.nan),
            "val_loss": self.validation_loss(),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
        }
        if entry["val_loss"] < self.best_val_loss:
            self.best_val_loss = entry["val_loss"]
            best = {"network": self.ema.module.state_dict(), "iteration": entry["iteration"]}
            save_checkpoint(run.path / "checkpoint_best.pth", best)
        return entry

    @torch.inference_mode()
    def validation_loss(self) -> float:
        """Loss of the averaged weights on held-out volumes at fixed timesteps and noise."""
        size = self.setup.configuration.diffusion_patch_zyx
        losses = []
        for index, case_id in enumerate(validation_cases(self.setup.fold)):
            image = self.setup.reader.diffusion_image(case_id)
            start = [(s - p) // 2 for s, p in zip(image.shape[1:], size, strict=True)]
            box = tuple(slice(s, s + p) for s, p in zip(start, size, strict=True))
            x0 = to_model_range(torch.from_numpy(np.ascontiguousarray(image[(slice(None), *box)])[None]))
            timesteps = torch.tensor([(index * 37 + 25) % self.plan.n_timesteps])
            random = torch.Generator().manual_seed(derive_seed(self.setup.seed, "validation", case_id))
            losses.append(float(self._loss(self.ema.module, x0, timesteps, random)))
        return sum(losses) / len(losses)

    def _loss(self, network: nn.Module, x0: Tensor, timesteps: Tensor, random: torch.Generator) -> Tensor:
        noise = torch.randn(x0.shape, generator=random)
        runtime = self.setup.runtime
        x_t = runtime.place(add_noise(x0, noise, self.alphas_cumprod[timesteps]))
        with runtime.autocast():
            prediction = network(x_t, timesteps.to(runtime.device))
        return denoising_loss(prediction, runtime.place(x0)).mean()
