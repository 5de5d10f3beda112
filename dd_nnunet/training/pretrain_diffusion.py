"""Diffusion pretraining: x0-prediction, L1, cosine schedule, EMA (section 4.2 of the paper)."""

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from dd_nnunet.core.errors import DDError
from dd_nnunet.core.noise_schedule import cosine_alphas_cumprod
from dd_nnunet.core.plan import ConfigurationPlan, DiffusionPlan
from dd_nnunet.core.splits import Fold
from dd_nnunet.networks.checkpoint import checkpoint_exists, load_checkpoint, load_weights, save_checkpoint
from dd_nnunet.networks.device import Runtime
from dd_nnunet.networks.diffusion_unet import DiffusionUNet
from dd_nnunet.networks.noising import add_noise, to_model_range
from dd_nnunet.objectives.denoising import denoising_loss
from dd_nnunet.storage.run_folder import RunFolder
from dd_nnunet.training.batches import BatchSource, iterate_batches, mirroring
from dd_nnunet.training.case_reader import CaseReader
from dd_nnunet.training.epoch_log import EpochLog
from dd_nnunet.training.seeds import derive_seed

BLOCKS = 50
WARM_UP_SHARE = 0.05
FINAL_LEARNING_RATE_SHARE = 0.05
VALIDATION_VOLUMES = 8
GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class TrainingSetup:
    """What a training needs beside its plan.

    Args:
        configuration: the plan of this configuration.
        fold: training and validation cases (their labels are never opened).
        reader: gives padded prepared cases.
        runtime: device and number format.
        seed: decides weights, batches and noise.
        n_workers: background processes for batches; 0 = none.
        progress_bar: show one.
        data_sha256: changes with the prepared training cases.
    """

    configuration: ConfigurationPlan
    fold: Fold
    reader: CaseReader
    runtime: Runtime
    seed: int
    n_workers: int
    progress_bar: bool
    data_sha256: str = ""

    @property
    def n_channels(self) -> int:
        """Channels of the volumes."""
        return len(self.configuration.normalization)


def pretrain_diffusion(setup: TrainingSetup, run: RunFolder) -> DiffusionUNet:
    """Train the diffusion model, or continue where the last run stopped.

    Writes checkpoint_latest, checkpoint_best (lowest validation loss) and checkpoint_final (EMA weights).

    Returns:
        The network with its averaged weights, in eval mode on the device.
    """
    plan = setup.configuration.diffusion
    state = _State(setup)
    state.resume(run)
    block = max(plan.iterations // BLOCKS, 1)
    batches = iterate_batches(_source(setup), mirroring(), state.iteration, setup.n_workers)
    bar = tqdm(
        total=plan.iterations,
        initial=state.iteration,
        desc="diffusion",
        unit="it",
        disable=not setup.progress_bar,
    )
    log = EpochLog(run, "diffusion pretraining")
    while state.iteration < plan.iterations:
        started = time.monotonic()
        n_steps = min(block, plan.iterations - state.iteration)
        losses = []
        for batch in itertools.islice(batches, n_steps):
            losses.append(state.step(batch["data"]))
            bar.update()
        entry = {
            "epoch": (state.iteration - 1) // block,
            "iteration": state.iteration,
            "loss": _finite_mean(losses, run, state.iteration),
            "val_loss": state.validation_loss(),
            "learning_rate": state.optimizer.param_groups[0]["lr"],
            "seconds": time.monotonic() - started,
        }
        bar.set_postfix(loss=f"{entry['loss']:.4f}", val=f"{entry['val_loss']:.4f}")
        _record(state, run, log, entry)
    bar.close()
    batches.close()  # type: ignore[attr-defined]
    save_checkpoint(
        run.path / "checkpoint_final.pth",
        {"network": state.ema.module.state_dict(), "iteration": state.iteration},
    )
    return load_diffusion(
        setup.configuration, setup.n_channels, run.path / "checkpoint_final.pth", setup.runtime
    )


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
    """Linear warm-up, then a half cosine down to a twentieth."""
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


class _State:
    """Weights, their average, the optimizer and the iteration: what a checkpoint holds."""

    def __init__(self, setup: TrainingSetup) -> None:
        self.setup = setup
        self.plan = setup.configuration.diffusion
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(setup.seed, "diffusion weights"))
            network = DiffusionUNet(self.plan, setup.n_channels)
        self.network = setup.runtime.place_network(network)
        average = get_ema_multi_avg_fn(self.plan.ema_decay)  # type: ignore[no-untyped-call]
        self.ema = AveragedModel(self.network, multi_avg_fn=average)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=self.plan.learning_rate)
        self.alphas_cumprod = torch.from_numpy(cosine_alphas_cumprod(self.plan.n_timesteps))
        self.iteration = 0
        self.best_val_loss = math.inf

    def resume(self, run: RunFolder) -> None:
        """Continue from checkpoint_latest, if there is one."""
        path = run.path / "checkpoint_latest.pth"
        if not checkpoint_exists(path):
            # killed between the first line and the first checkpoint
            run.truncate_log(lambda entry: False)
            return
        saved = load_checkpoint(path)
        self.network.load_state_dict(saved["network"])
        self.ema.load_state_dict(saved["ema"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.iteration = int(saved["iteration"])
        self.best_val_loss = float(saved["best_val_loss"])
        run.truncate_log(lambda entry: entry["iteration"] <= self.iteration)
        run.logger.info("diffusion: continues after iteration %d", self.iteration)

    def content(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "iteration": self.iteration,
            "best_val_loss": self.best_val_loss,
        }

    def step(self, data: Any) -> float:
        """One optimizer step on a batch [B,C,Z,Y,X] in [0,1]; returns its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.plan, self.iteration)
        x0 = to_model_range(torch.as_tensor(data))
        random = torch.Generator().manual_seed(derive_seed(self.setup.seed, "noise", self.iteration))
        timesteps = torch.randint(self.plan.n_timesteps, (len(x0),), generator=random)
        loss = self._loss(self.network, x0, timesteps, random)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        self.optimizer.step()
        self.ema.update_parameters(self.network)
        self.iteration += 1
        return float(loss.detach())

    @torch.inference_mode()
    def validation_loss(self) -> float:
        """Loss of the averaged weights on held-out volumes at fixed timesteps and noise."""
        size = self.setup.configuration.patch_size_zyx
        losses = []
        for index, case_id in enumerate(validation_cases(self.setup.fold)):
            image = self.setup.reader.image(case_id)
            start = [(s - p) // 2 for s, p in zip(image.shape[1:], size, strict=True)]
            box = tuple(slice(s, s + p) for s, p in zip(start, size, strict=True))
            x0 = to_model_range(torch.from_numpy(np.ascontiguousarray(image[(slice(None), *box)])[None]))
            timesteps = torch.tensor([(index * 37 + 25) % self.plan.n_timesteps])
            random = torch.Generator().manual_seed(derive_seed(self.setup.seed, "validation", case_id))
            losses.append(float(self._loss(self.ema.module, x0, timesteps, random)))
        return sum(losses) / len(losses)

    def _loss(
        self, network: torch.nn.Module, x0: Tensor, timesteps: Tensor, random: torch.Generator
    ) -> Tensor:
        noise = torch.randn(x0.shape, generator=random)
        runtime = self.setup.runtime
        x_t = runtime.place(add_noise(x0, noise, self.alphas_cumprod[timesteps]))
        with runtime.autocast():
            prediction = network(x_t, timesteps.to(runtime.device))
        return denoising_loss(prediction, runtime.place(x0)).mean()


def _source(setup: TrainingSetup) -> BatchSource:
    return BatchSource(
        setup.fold.train,
        setup.reader.image,
        setup.configuration.patch_size_zyx,
        setup.configuration.diffusion.batch_size,
        derive_seed(setup.seed, "diffusion batches"),
    )


def _finite_mean(losses: Sequence[float], run: RunFolder, iteration: int) -> float:
    mean = sum(losses) / len(losses)
    if not math.isfinite(mean):
        raise DDError(
            run.path,
            f"the loss is {mean} at iteration {iteration}",
            "lower learning_rate in the plan, then --fresh",
        )
    return mean


def _record(state: _State, run: RunFolder, log: EpochLog, entry: dict[str, Any]) -> None:
    if entry["val_loss"] < state.best_val_loss:
        state.best_val_loss = entry["val_loss"]
        best = {"network": state.ema.module.state_dict(), "iteration": state.iteration}
        save_checkpoint(run.path / "checkpoint_best.pth", best)
    log.append(entry, last=state.iteration == state.plan.iterations)
    save_checkpoint(run.path / "checkpoint_latest.pth", state.content())
