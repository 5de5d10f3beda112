"""Training the segmenter of one level, or of several that nest, by the losses of each level."""

import math
from collections.abc import Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dd_nnunet.core.plan import LevelGroup, LevelPlan
from dd_nnunet.networks.segmentation_unet import build_group_segmenter
from dd_nnunet.objectives.invariance import gamma_transform
from dd_nnunet.storage.run_folder import RunFolder
from dd_nnunet.training.batches import Batch, BatchSource, iterate_batches, photometric, unchanged
from dd_nnunet.training.feature_cache import FeatureCache
from dd_nnunet.training.kept_epoch import LevelResult, finish, keep_epoch
from dd_nnunet.training.level_batches import LevelTargets
from dd_nnunet.training.level_objective import Coarser, LevelObjective
from dd_nnunet.training.loop import train
from dd_nnunet.training.monitor import Monitor
from dd_nnunet.training.nested_labels import CaseLabels
from dd_nnunet.training.pseudo_labels import SAMPLE_CASES, WarmStart
from dd_nnunet.training.seeds import derive_seed
from dd_nnunet.training.selection import (
    PartStatistics,
    as_log,
    canonical_order,
    merged_log,
    selection_rank,
)
from dd_nnunet.training.setup import TrainingSetup

FINAL_LEARNING_RATE_SHARE = 0.05
GRADIENT_NORM = 12.0
SPATIAL_AXES = (2, 3, 4)
LOSSES = ("cross_entropy", "feature", "visual", "invariance", "total")


def train_segmenter(
    setup: TrainingSetup, group: LevelGroup, cache: FeatureCache, run: RunFolder
) -> tuple[LevelResult, ...]:
    """Train the network of a level, or of several that nest, or continue where the last run stopped.

    Writes checkpoint_latest, checkpoint_best (the kept epoch so far) and checkpoint_final (the kept epoch with its
    canonical part order).

    Returns:
        One result per level.

    Raises:
        StoppedError: the run was asked to end early; the same call continues.
        UserError: the losses stay no numbers.
    """
    train(_SegmenterTrainer(setup, group, cache), setup, run)
    return finish(run, group)


class _SegmenterTrainer:
    """The `Trainer` of a group of levels."""

    shown: tuple[str, ...] = ("total", "alive_parts")

    def __init__(self, setup: TrainingSetup, group: LevelGroup, cache: FeatureCache) -> None:
        parts = " ".join(str(level.n_parts) for level in group.levels)
        self.name = f"{group.name}, {parts} parts"
        self.setup = setup
        self.plan = setup.configuration.segmenter
        self.is_plain = self.plan.recipe == "plain"
        self.max_gradient_norm = math.inf if self.is_plain else GRADIENT_NORM
        self.epoch_length = self.plan.iterations_per_epoch
        self.n_iterations = self.plan.epochs * self.epoch_length
        self.group = group
        self.tree = group.tree
        self._number = group.levels[0].level
        self.seed = derive_seed(setup.seed, "level", self._number)
        self.monitor = Monitor(setup, group, cache)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, "weights"))
            network = build_group_segmenter(self.plan, setup.n_channels, group)
        self.network = setup.runtime.place_network(network)
        self.networks: dict[str, nn.Module] = {"network": self.network}
        self.optimizer: torch.optim.Optimizer = torch.optim.Adam(
            self.network.parameters(), lr=self.plan.learning_rate
        )
        labels = CaseLabels(group, cache, self.seed) if group.nested else None
        self.objectives = tuple(
            self._objective(level, index, cache, labels) for index, level in enumerate(group.levels)
        )
        self.best_rank: tuple[int, int, float] = (-1, -1, -math.inf)

    def _objective(
        self, level: LevelPlan, index: int, cache: FeatureCache, labels: CaseLabels | None
    ) -> LevelObjective:
        nested = None if labels is None else partial(labels.level, index)
        fit = partial(self._fit_warm_start, cache, level)
        targets = LevelTargets(cache, level, fit, self.setup.runtime.device, nested)
        parents = self.tree.parents[index - 1] if index else None
        return LevelObjective(self.setup.configuration, level, parents, targets)

    def memory(self) -> dict[str, Any]:
        dead = [
            channels.start + part
            for channels, objective in zip(self.tree.channels, self.objectives, strict=True)
            for part in objective.dead_parts
        ]
        return {"dead_parts": dead, "best_rank": list(self.best_rank)}

    def remember(self, memory: Mapping[str, Any]) -> None:
        for channels, objective in zip(self.tree.channels, self.objectives, strict=True):
            dead = (k for k in memory["dead_parts"] if channels.start <= k < channels.stop)
            objective.dead_parts = tuple(k - channels.start for k in dead)
        alive, by_losses, certainty = memory["best_rank"]
        self.best_rank = (int(alive), int(by_losses), float(certainty))

    def batches(self, first_iteration: int) -> Generator[Batch, None, None]:
        source = BatchSource(
            self.setup.fold.train,
            self.setup.reader.image,
            self.setup.configuration.patch_size_zyx,
            self.plan.batch_size,
            derive_seed(self.setup.seed, "level batches", self._number),
        )
        transform = unchanged() if self.is_plain else photometric()
        return iterate_batches(source, transform, first_iteration, self.setup.n_workers)

    def learning_rate(self, iteration: int) -> float:
        if self.is_plain:
            return self.plan.learning_rate
        progress = iteration / self.n_iterations
        low = FINAL_LEARNING_RATE_SHARE
        return self.plan.learning_rate * (low + (1 - low) * (1 + math.cos(math.pi * progress)) / 2)

    def _fit_warm_start(self, cache: FeatureCache, level: LevelPlan) -> WarmStart:
        cases = self.setup.fold.train
        sample = cases[:: max(len(cases) // SAMPLE_CASES, 1)][:SAMPLE_CASES]
        return WarmStart([cache.visual_target(c) for c in sample], level.n_parts, self.seed)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        image = torch.as_tensor(batch["data"])
        if self.plan.dropout:
            # dropout draws from torch's own state, which nothing else does
            torch.manual_seed(derive_seed(self.seed, "dropout", batch["iteration"]))
        random = torch.Generator().manual_seed(derive_seed(self.seed, "step", batch["iteration"]))
        drawn = [axis for axis in SPATIAL_AXES if bool(torch.randint(2, (), generator=random))]
        mirrored = [] if self.is_plain else drawn
        low, high = self.plan.gamma_range
        gamma = low + (high - low) * torch.rand(len(image), generator=random)
        if self._is_warm(batch["iteration"] // self.epoch_length):
            logits = self._logits(image, mirrored)
            found = [
                objective.warm_start(logits[:, channels], batch)
                for channels, objective in zip(self.tree.channels, self.objectives, strict=True)
            ]
            return self._together(found)
        twins = (
            [gamma_transform(image.clamp(0, 1), gamma)] if self._asks_invariance(batch["iteration"]) else []
        )
        volumes = self._logits(torch.cat([image, *twins]), mirrored)
        found, coarser = [], None
        for channels, objective in zip(self.tree.channels, self.objectives, strict=True):
            logits, *changed = volumes[:, channels].chunk(1 + len(twins))
            transformed = changed[0] if changed else None
            found.append(objective.discovery(logits, transformed, batch, coarser))
            if self.group.nested:
                twin = None if transformed is None else transformed.detach().exp()
                coarser = Coarser(logits.detach().exp(), twin)
        return self._together(found)

    def _asks_invariance(self, iteration: int) -> bool:
        return iteration % self.plan.invariance_interval == 0

    def _together(
        self, found: Sequence[tuple[Tensor, dict[str, Tensor]]]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean over the levels, with that of each term, and the terms of each level by name."""
        if len(found) == 1:
            return found[0]
        named: dict[str, Tensor] = {}
        for name in LOSSES:
            terms = [of_level[name] for _, of_level in found if name in of_level]
            if terms:
                named[name] = torch.stack(terms).mean()
        for level, (_, of_level) in zip(self.group.levels, found, strict=True):
            named |= {f"level{level.level}/{name}": value for name, value in of_level.items()}
        return torch.stack([loss for loss, _ in found]).mean(), named

    def after_step(self) -> None:
        """Nothing is averaged here."""

    def end_epoch(self, epoch: int, means: Mapping[str, float], run: RunFolder) -> dict[str, Any]:
        phase = "warm_start" if self._is_warm(epoch) else "discovery"
        seeding = [() if self._is_warm(epoch) else objective.parts_to_seed for objective in self.objectives]
        statistics = self._monitor()
        entries = []
        for objective, of_level, reseeded in zip(self.objectives, statistics, seeding, strict=True):
            self._warn_of_dead_parts(objective, of_level, epoch, run)
            objective.dead_parts = of_level.dead_parts
            entries.append({**as_log(of_level), "reseeded": list(reseeded)})
        return {
            "epoch": epoch,
            "phase": phase,
            **dict.fromkeys(LOSSES),
            **{name: value for name, value in means.items() if name in LOSSES},
            **merged_log([level.level for level in self.group.levels], entries, means),
            "selected": self._keep_if_best(statistics, epoch, run.path),
        }

    def _is_warm(self, epoch: int) -> bool:
        return epoch < self.plan.warm_start_epochs

    def _warn_of_dead_parts(
        self, objective: LevelObjective, statistics: PartStatistics, epoch: int, run: RunFolder
    ) -> None:
        if statistics.dead_parts and statistics.dead_parts != objective.dead_parts:
            dead = ", ".join(map(str, statistics.dead_parts))
            run.logger.warning(
                "level %d, epoch %d: only %d of %d parts are alive (%.1f effective ones); no voxels for output %s",
                objective.level.level, epoch, statistics.alive_parts, objective.level.n_parts,
                statistics.effective_parts, dead,
            )  # fmt: skip

    def _logits(self, image: Tensor, mirrored: list[int]) -> Tensor:
        # the image is mirrored and the prediction mirrored back, so that features need not be
        placed = self.setup.runtime.place(image.flip(mirrored) if mirrored else image)
        with self.setup.runtime.autocast():
            logits: Tensor = self.network(placed)
        logits = logits.float()
        return (logits.flip(mirrored) if mirrored else logits).contiguous()

    def _monitor(self) -> tuple[PartStatistics, ...]:
        self.network.eval()
        statistics = self.monitor.look(lambda patches: self._logits(patches, []))
        self.network.train()
        return statistics

    def _keep_if_best(self, statistics: Sequence[PartStatistics], epoch: int, folder: Path) -> bool:
        """Save this epoch as checkpoint_best if it ranks above all before it."""
        phase = "warm_start" if self._is_warm(epoch) else "discovery"
        rank = selection_rank(statistics, phase, self.plan.kept_epoch)
        # a network that gives NaN has no rank
        if rank <= self.best_rank or not math.isfinite(rank[-1]):
            return False
        self.best_rank = rank
        keep_epoch(folder, self.network, statistics, self._order(statistics), epoch)
        return True

    def _order(self, statistics: Sequence[PartStatistics]) -> list[int]:
        """Which output is which part; numbers of objects, and of parts that nest, mean something already."""
        if self.group.nested or self.objectives[0].from_objects:
            return list(range(self.tree.n_channels))
        return list(canonical_order(statistics[0]))
