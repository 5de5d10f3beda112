"""The loop of every training: steps, epochs, checkpoints, and how it continues."""

import contextlib
import itertools
import time
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dd_nnunet.core.errors import UserError
from dd_nnunet.networks.checkpoint import checkpoint_exists, load_checkpoint, load_weights, save_checkpoint
from dd_nnunet.storage.progress_bar import progress_bar
from dd_nnunet.storage.run_folder import RunFolder
from dd_nnunet.training.batches import Batch
from dd_nnunet.training.epoch_log import EpochLog
from dd_nnunet.training.loss_guard import LossGuard
from dd_nnunet.training.setup import TrainingSetup
from dd_nnunet.training.stopping import stopped

RESTORED_RATE_FACTOR = 0.1


class Trainer(Protocol):
    """What is trained: its networks, its loss, and what happens after an epoch.

    Attributes:
        name: e.g. "level 2".
        networks: by name; "network" is the one that the optimizer changes.
        optimizer: its state is saved too.
        n_iterations: optimizer steps in all.
        epoch_length: steps per epoch; the last epoch may be shorter.
        max_gradient_norm: longer gradients are shortened to it.
        shown: keys of the log that the progress bar shows.
    """

    name: str
    networks: dict[str, nn.Module]
    optimizer: torch.optim.Optimizer
    n_iterations: int
    epoch_length: int
    max_gradient_norm: float
    shown: tuple[str, ...]

    def batches(self, first_iteration: int) -> Generator[Batch, None, None]:
        """Batches first_iteration, first_iteration + 1, … without end."""

    def learning_rate(self, iteration: int) -> float:
        """Of a step."""

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """What to minimise, and what to log (scalars on the device, cut from the graph)."""

    def after_step(self) -> None:
        """Called after each optimizer step."""

    def end_epoch(self, epoch: int, means: Mapping[str, float], run: RunFolder) -> dict[str, Any]:
        """Look at the networks, save the best; returns the entry of the log."""

    def memory(self) -> dict[str, Any]:
        """Plain values to keep beside weights and optimizer."""

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Take them back."""


@dataclass
class Progress:
    """How far a training has come.

    Args:
        epoch: finished ones.
        iteration: steps done, skipped ones too.
        rate_factor: of the learning rate; below 1 once bad losses have led back to an earlier state.
        sums: of the losses of the running epoch, by name.
        n_summed: steps that they are sums of.
        n_skipped: steps of the running epoch that were skipped.
        seconds: spent in the running epoch.
    """

    epoch: int = 0
    iteration: int = 0
    rate_factor: float = 1.0
    sums: dict[str, float] = field(default_factory=dict)
    n_summed: int = 0
    n_skipped: int = 0
    seconds: float = 0.0

    def add(self, losses: Mapping[str, float]) -> None:
        """Count the losses of a step."""
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.n_summed += 1

    def means(self) -> dict[str, float]:
        """Mean losses of the running epoch; empty if all steps were skipped."""
        return {name: value / self.n_summed for name, value in self.sums.items()}

    def next_epoch(self) -> "Progress":
        """The state in which the next epoch starts."""
        return Progress(self.epoch + 1, self.iteration, self.rate_factor)


def train(trainer: Trainer, setup: TrainingSetup, run: RunFolder) -> None:
    """Train to the end, or continue where the last run stopped.

    checkpoint_latest is written after every epoch, after `setup.save_seconds` at the latest, and when the run
    is asked to stop.

    Raises:
        StoppedError: asked to stop; all done so far is saved.
        UserError: the losses stay no numbers; the checkpoint to continue from is of another network.
    """
    _Loop(trainer, setup, run).train()


class _Loop:
    def __init__(self, trainer: Trainer, setup: TrainingSetup, run: RunFolder) -> None:
        self.trainer = trainer
        self.setup = setup
        self.run = run
        self.path = run.path / "checkpoint_latest.pth"
        self.progress = Progress()
        self.guard = LossGuard(run)
        self.log = EpochLog(run, trainer.name)
        self.clock = self.saved_at = time.monotonic()

    def train(self) -> None:
        trainer = self.trainer
        self._resume()
        bar = progress_bar(
            total=trainer.n_iterations, initial=self.progress.iteration, desc=trainer.name, unit="it",
            disable=not self.setup.progress_bar,
        )  # fmt: skip
        self.setup.stop.begin_steps()
        n_epochs = -(-trainer.n_iterations // trainer.epoch_length)
        with bar, contextlib.closing(trainer.batches(self.progress.iteration)) as batches:
            while self.progress.epoch < n_epochs:
                end = min((self.progress.epoch + 1) * trainer.epoch_length, trainer.n_iterations)
                for batch in itertools.islice(batches, end - self.progress.iteration):
                    self._step(batch)
                    bar.update()
                    self._save_or_stop()
                entry = self._end_epoch()
                bar.set_postfix({key: entry[key] for key in trainer.shown})
                self.log.append(entry, last=self.progress.epoch == n_epochs)
                self._save()

    def _step(self, batch: Batch) -> None:
        """Forward, backward, and the optimizer's step if all of it is finite."""
        trainer, progress = self.trainer, self.progress
        for group in trainer.optimizer.param_groups:
            group["lr"] = trainer.learning_rate(progress.iteration) * progress.rate_factor
        loss, named = trainer.loss(batch)
        trainer.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(trainer.networks["network"].parameters(), trainer.max_gradient_norm)
        # the only time in a step that the device is waited for
        *values, norm_value = torch.stack([*named.values(), norm]).tolist()
        losses = dict(zip(named, values, strict=True))
        progress.iteration += 1
        if self.guard.accepts(batch, {**losses, "gradient_norm": norm_value}):
            trainer.optimizer.step()
            trainer.after_step()
            progress.add(losses)
            return
        progress.n_skipped += 1
        if self.guard.exhausted:
            self._restore()

    def _end_epoch(self) -> dict[str, Any]:
        progress = self.progress
        entry = self.trainer.end_epoch(progress.epoch, progress.means(), self.run)
        entry["skipped_steps"] = progress.n_skipped
        entry["seconds"] = self._seconds()
        self.progress = progress.next_epoch()
        return entry

    def _seconds(self) -> float:
        """Seconds of the running epoch so far."""
        now = time.monotonic()
        self.progress.seconds += now - self.clock
        self.clock = now
        return self.progress.seconds

    def _save_or_stop(self) -> None:
        reason = self.setup.stop.reason()
        if reason or time.monotonic() - self.saved_at > self.setup.save_seconds:
            self._save()
        if reason:
            raise stopped(self.run.path, f"{reason} after iteration {self.progress.iteration}")

    def _save(self) -> None:
        if not self.guard.calm:
            # perhaps the weights are spoilt; going on from the state before comes to the same point
            return
        self._seconds()
        content = {name: network.state_dict() for name, network in self.trainer.networks.items()}
        content |= {"optimizer": self.trainer.optimizer.state_dict(), "memory": self.trainer.memory()}
        save_checkpoint(self.path, {**content, "progress": asdict(self.progress)})
        self.saved_at = time.monotonic()

    def _resume(self) -> None:
        """Continue from checkpoint_latest, or write the first one: bad losses may lead back to it."""
        if not checkpoint_exists(self.path):
            self._save()
            return
        saved = self._load()
        self.trainer.remember(saved["memory"])
        self.progress = Progress(**saved["progress"])
        self.run.truncate_log(lambda entry: entry["epoch"] < self.progress.epoch)
        self.run.logger.info("%s: continues after iteration %d", self.trainer.name, self.progress.iteration)

    def _restore(self) -> None:
        """Go back to the saved weights, once, and on from there with smaller steps."""
        if self.progress.rate_factor < 1:
            self.guard.give_up()
        self._load()
        self.progress.rate_factor = RESTORED_RATE_FACTOR
        self.guard.start_anew()
        self.run.logger.warning(
            "iteration %d: too many bad losses in a row; back to the saved weights, learning rate times %g",
            self.progress.iteration,
            RESTORED_RATE_FACTOR,
        )

    def _load(self) -> dict[str, Any]:
        """Put the saved weights and the optimizer's state in place; returns all that was saved."""
        saved, remedy = load_checkpoint(self.path), "use the plan it was trained with, or give --fresh"
        missing = {*self.trainer.networks, "optimizer", "memory", "progress"} - saved.keys()
        if missing:
            reason = (
                f"is no state to continue {self.trainer.name} from: it lacks {', '.join(sorted(missing))}"
            )
            raise UserError(self.path, reason, remedy)
        for name, network in self.trainer.networks.items():
            load_weights(network, saved[name], self.path)
        try:
            self.trainer.optimizer.load_state_dict(saved["optimizer"])
        except ValueError as error:
            raise UserError(self.path, f"its optimizer is of another network ({error})", remedy) from None
        return saved
