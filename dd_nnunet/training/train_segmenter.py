"""Training a level's segmenter with feature consistency, visual consistency and photometric invariance."""

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dd_nnunet.core.plan import LevelPlan, Zyx
from dd_nnunet.core.tiling import iterate_tiles
from dd_nnunet.networks.checkpoint import load_checkpoint, save_checkpoint
from dd_nnunet.networks.segmentation_unet import build_segmenter
from dd_nnunet.objectives.consistency import Representation, unexplained_map
from dd_nnunet.objectives.discovery import discovery_loss
from dd_nnunet.objectives.invariance import gamma_transform
from dd_nnunet.preprocessing.pad import Box
from dd_nnunet.storage.run_folder import RunFolder
from dd_nnunet.training.batches import Batch, BatchSource, iterate_batches, photometric, unchanged
from dd_nnunet.training.feature_cache import FeatureCache
from dd_nnunet.training.level_batches import LevelTargets
from dd_nnunet.training.loop import train
from dd_nnunet.training.pseudo_labels import SAMPLE_CASES, WarmStart, pseudo_label_loss, reseed_labels
from dd_nnunet.training.seeds import derive_seed
from dd_nnunet.training.selection import PartCounter, PartStatistics, as_log, canonical_order, selection_rank
from dd_nnunet.training.setup import TrainingSetup

MONITOR_CASES = 16
MONITOR_PATCHES = 64
RESEEDING_WEIGHT = 1.0
FINAL_LEARNING_RATE_SHARE = 0.05
GRADIENT_NORM = 12.0
SPATIAL_AXES = (2, 3, 4)
LOSSES = ("cross_entropy", "feature", "visual", "invariance", "total")


@dataclass(frozen=True)
class LevelResult:
    """What training a level came to.

    Args:
        epoch: the kept one.
        statistics: of the kept epoch, in canonical part numbers.
        collapsed: fewer parts alive than planned.
    """

    epoch: int
    statistics: PartStatistics
    collapsed: bool


def train_segmenter(
    setup: TrainingSetup, level: LevelPlan, cache: FeatureCache, run: RunFolder
) -> LevelResult:
    """Train one level, or continue where the last run stopped.

    Writes checkpoint_latest, checkpoint_best (the kept epoch so far) and checkpoint_final (the kept epoch with its
    canonical part order).

    Raises:
        StoppedError: the run was asked to end early; the same call continues.
        UserError: the losses stay no numbers.
    """
    train(_LevelTrainer(setup, level, cache), setup, run)
    return _finish(run, level)


class _LevelTrainer:
    """The `Trainer` of one level."""

    shown: tuple[str, ...] = ("total", "alive_parts")

    def __init__(self, setup: TrainingSetup, level: LevelPlan, cache: FeatureCache) -> None:
        self.name = f"level {level.level}, {level.n_parts} parts"
        self.setup = setup
        self.plan = setup.configuration.segmenter
        self.is_plain = self.plan.recipe == "plain"
        self.max_gradient_norm = math.inf if self.is_plain else GRADIENT_NORM
        self.epoch_length = self.plan.iterations_per_epoch
        self.n_iterations = self.plan.epochs * self.epoch_length
        self.level = level
        objects = setup.configuration.objects
        self.from_objects = setup.configuration.starts_from_objects(level)
        self.anchor_weight = (
            objects.anchor_weight if objects and self.from_objects else self.plan.anchor_weight
        )
        self.seed = derive_seed(setup.seed, "level", level.level)
        cases = setup.fold.train
        self.monitors_all = self.plan.kept_epoch == "certain"
        few = cases[:: max(len(cases) // MONITOR_CASES, 1)][:MONITOR_CASES]
        self.monitor_cases = cases if self.monitors_all else few
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, "weights"))
            network = build_segmenter(self.plan, setup.n_channels, level.n_parts)
        self.network = setup.runtime.place_network(network)
        self.networks: dict[str, nn.Module] = {"network": self.network}
        self.optimizer: torch.optim.Optimizer = torch.optim.Adam(
            self.network.parameters(), lr=self.plan.learning_rate
        )
        self.targets = LevelTargets(cache, level, partial(self._fit_warm_start, cache), setup.runtime.device)
        self.dead_parts: tuple[int, ...] = ()
        self.best_rank: tuple[int, int, float] = (-1, -1, -math.inf)

    def memory(self) -> dict[str, Any]:
        return {"dead_parts": list(self.dead_parts), "best_rank": list(self.best_rank)}

    def remember(self, memory: Mapping[str, Any]) -> None:
        self.dead_parts = tuple(memory["dead_parts"])
        alive, by_losses, certainty = memory["best_rank"]
        self.best_rank = (int(alive), int(by_losses), float(certainty))

    def batches(self, first_iteration: int) -> Generator[Batch, None, None]:
        source = BatchSource(
            self.setup.fold.train,
            self.setup.reader.image,
            self.setup.configuration.patch_size_zyx,
            self.plan.batch_size,
            derive_seed(self.setup.seed, "level batches", self.level.level),
        )
        transform = unchanged() if self.is_plain else photometric()
        return iterate_batches(source, transform, first_iteration, self.setup.n_workers)

    def learning_rate(self, iteration: int) -> float:
        if self.is_plain:
            return self.plan.learning_rate
        progress = iteration / self.n_iterations
        low = FINAL_LEARNING_RATE_SHARE
        return self.plan.learning_rate * (low + (1 - low) * (1 + math.cos(math.pi * progress)) / 2)

    def _fit_warm_start(self, cache: FeatureCache) -> WarmStart:
        cases = self.setup.fold.train
        sample = cases[:: max(len(cases) // SAMPLE_CASES, 1)][:SAMPLE_CASES]
        return WarmStart([cache.visual_target(c) for c in sample], self.level.n_parts, self.seed)

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
            loss, cross_entropy = pseudo_label_loss(logits, self.targets.pseudo_labels(batch))
            return loss, {"total": loss.detach(), "cross_entropy": cross_entropy.detach()}
        both = self._logits(torch.cat((image, gamma_transform(image.clamp(0, 1), gamma))), mirrored)
        masks, transformed = both.softmax(dim=1).chunk(2)
        visual = self.targets.visual(batch)
        parts = discovery_loss(masks, transformed, self.targets.features(batch), visual, self.plan)
        loss, named = parts.total, parts.named()
        weight, labels = self._anchor(batch, masks.detach(), visual)
        if labels is not None:
            anchor, cross_entropy = pseudo_label_loss(both.chunk(2)[0], labels)
            loss = loss + weight * anchor
            named["cross_entropy"] = cross_entropy.detach()
        return loss, named

    def after_step(self) -> None:
        """Nothing is averaged here."""

    def end_epoch(self, epoch: int, means: Mapping[str, float], run: RunFolder) -> dict[str, Any]:
        phase = "warm_start" if self._is_warm(epoch) else "discovery"
        reseeded = () if self._is_warm(epoch) else self._parts_to_seed()
        statistics = self._monitor()
        self._warn_of_dead_parts(statistics, epoch, run)
        self.dead_parts = statistics.dead_parts
        return {
            "epoch": epoch,
            "phase": phase,
            **dict.fromkeys(LOSSES),
            **means,
            **as_log(statistics),
            "reseeded": list(reseeded),
            "selected": self._keep_if_best(statistics, epoch, run.path),
        }

    def _is_warm(self, epoch: int) -> bool:
        return epoch < self.plan.warm_start_epochs

    def _warn_of_dead_parts(self, statistics: PartStatistics, epoch: int, run: RunFolder) -> None:
        if statistics.dead_parts and statistics.dead_parts != self.dead_parts:
            dead = ", ".join(map(str, statistics.dead_parts))
            run.logger.warning(
                "level %d, epoch %d: only %d of %d parts are alive (%.1f effective ones); no voxels for output %s",
                self.level.level, epoch, statistics.alive_parts, self.level.n_parts, statistics.effective_parts,
                dead,
            )  # fmt: skip

    def _anchor(self, batch: Batch, masks: Tensor, visual: Representation) -> tuple[float, Tensor | None]:
        """Labels beside the losses, with their weight: the warm start's, and those that revive dead parts."""
        anchored = self.anchor_weight > 0 and self.plan.warm_start_epochs > 0
        to_seed = self._parts_to_seed()
        if not anchored and not to_seed:
            return 0.0, None
        labels = self.targets.pseudo_labels(batch) if anchored else masks.argmax(dim=1)
        if to_seed:
            labels = reseed_labels(labels, unexplained_map(masks, visual), to_seed)
        return (self.anchor_weight if anchored else RESEEDING_WEIGHT), labels

    def _parts_to_seed(self) -> tuple[int, ...]:
        # objects keep their parts in the labels; other labels in their place would be unlearned again
        return () if self.is_plain or self.from_objects else self.dead_parts

    def _logits(self, image: Tensor, mirrored: list[int]) -> Tensor:
        # the image is mirrored and the prediction mirrored back, so that features need not be
        placed = self.setup.runtime.place(image.flip(mirrored) if mirrored else image)
        with self.setup.runtime.autocast():
            logits: Tensor = self.network(placed)
        logits = logits.float()
        return (logits.flip(mirrored) if mirrored else logits).contiguous()

    @torch.inference_mode()
    def _monitor(self) -> PartStatistics:
        """Divide whole training volumes, as many as a bounded number of patches allows."""
        self.network.eval()
        counter = PartCounter(self.level.n_parts)
        patch = self.setup.configuration.patch_size_zyx
        patches_left = MONITOR_PATCHES
        for case_id in self.monitor_cases:
            image = torch.from_numpy(self.setup.reader.image(case_id))
            starts = list(iterate_tiles((image.shape[1], image.shape[2], image.shape[3]), patch, 1.0))
            if not self.monitors_all and len(starts) > patches_left and patches_left < MONITOR_PATCHES:
                break
            patches_left -= len(starts)
            counter.add(*self._divide(image, starts, self.setup.reader.box(case_id)))
        self.network.train()
        return counter.statistics()

    def _divide(self, image: Tensor, starts: Sequence[Zyx], box: Box) -> tuple[Tensor, Tensor]:
        """Most probable part and its probability at each voxel of the volume in a padded image: [Z,Y,X] twice."""
        owner = torch.zeros(image.shape[1:], dtype=torch.int64)
        largest = torch.zeros(image.shape[1:])
        for start in starts:
            patch = tuple(
                slice(s, s + p) for s, p in zip(start, self.setup.configuration.patch_size_zyx, strict=True)
            )
            masks = self._logits(image[(slice(None), *patch)][None], []).softmax(dim=1)
            values, parts = masks[0].max(dim=0)
            owner[patch], largest[patch] = parts.cpu(), values.cpu()
        return owner[box], largest[box]

    def _keep_if_best(self, statistics: PartStatistics, epoch: int, folder: Path) -> bool:
        """Save this epoch as checkpoint_best if it ranks above all before it."""
        phase = "warm_start" if self._is_warm(epoch) else "discovery"
        rank = selection_rank(statistics, phase, self.plan.kept_epoch)
        # a network that gives NaN has no rank
        if rank <= self.best_rank or not math.isfinite(statistics.mean_max_probability):
            return False
        self.best_rank = rank
        best = {
            "network": self.network.state_dict(),
            # numbers of objects mean something already
            "order": list(range(self.level.n_parts) if self.from_objects else canonical_order(statistics)),
            "epoch": epoch,
            "shares": list(statistics.shares),
            "border_shares": list(statistics.border_shares),
            "mean_max_probability": statistics.mean_max_probability,
            "effective_parts": statistics.effective_parts,
        }
        save_checkpoint(folder / "checkpoint_best.pth", best)
        return True


def _finish(run: RunFolder, level: LevelPlan) -> LevelResult:
    best = load_checkpoint(run.path / "checkpoint_best.pth")
    save_checkpoint(run.path / "checkpoint_final.pth", best)
    order = best["order"]
    statistics = PartStatistics(
        tuple(best["shares"][k] for k in order),
        best["mean_max_probability"],
        best["effective_parts"],
        tuple(best["border_shares"][k] for k in order),
    )
    collapsed = statistics.alive_parts < level.n_parts
    if collapsed:
        run.logger.warning(
            "level %d COLLAPSED: only %d of %d parts are alive",
            level.level,
            statistics.alive_parts,
            level.n_parts,
        )
    return LevelResult(int(best["epoch"]), statistics, collapsed)
