"""Training a level's segmenter with feature consistency, visual consistency and photometric invariance."""

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from dd_nnunet.core.errors import DDError
from dd_nnunet.core.plan import LevelPlan, Zyx
from dd_nnunet.core.tiling import iterate_tiles
from dd_nnunet.networks.checkpoint import checkpoint_exists, load_checkpoint, save_checkpoint
from dd_nnunet.networks.segmentation_unet import build_segmenter
from dd_nnunet.objectives.consistency import Representation, unexplained_map
from dd_nnunet.objectives.discovery import discovery_loss
from dd_nnunet.objectives.invariance import gamma_transform
from dd_nnunet.preprocessing.pad import Box
from dd_nnunet.storage.run_folder import RunFolder
from dd_nnunet.training.batches import BatchSource, iterate_batches, photometric
from dd_nnunet.training.epoch_log import EpochLog
from dd_nnunet.training.feature_cache import FeatureCache
from dd_nnunet.training.level_batches import LevelTargets
from dd_nnunet.training.pretrain_diffusion import TrainingSetup
from dd_nnunet.training.pseudo_labels import SAMPLE_CASES, WarmStart, pseudo_label_loss, reseed_labels
from dd_nnunet.training.seeds import derive_seed
from dd_nnunet.training.selection import PartCounter, PartStatistics, as_log, canonical_order, selection_rank

MONITOR_CASES = 16
MONITOR_PATCHES = 64
RESEEDING_WEIGHT = 1.0
FINAL_LEARNING_RATE_SHARE = 0.05
SPATIAL_AXES = (2, 3, 4)


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
    """
    plan = setup.configuration.segmenter
    trainer = _LevelTrainer(setup, level, cache)
    trainer.resume(run)
    batches = iterate_batches(
        _source(setup, level), photometric(), trainer.epoch * plan.iterations_per_epoch, setup.n_workers
    )
    bar = tqdm(
        total=plan.epochs, initial=trainer.epoch, desc=f"level {level.level}", unit="epoch",
        disable=not setup.progress_bar,
    )  # fmt: skip
    log = EpochLog(run, f"level {level.level}, {level.n_parts} parts")
    while trainer.epoch < plan.epochs:
        started = time.monotonic()
        entry = trainer.train_epoch(itertools.islice(batches, plan.iterations_per_epoch))
        entry["selected"] = trainer.keep_if_best(run.path)
        entry["seconds"] = time.monotonic() - started
        log.append(entry, last=trainer.epoch == plan.epochs)
        save_checkpoint(run.path / "checkpoint_latest.pth", trainer.content())
        bar.set_postfix(total=f"{entry['total']:.3f}", alive=f"{entry['alive_parts']}/{level.n_parts}")
        bar.update()
    bar.close()
    batches.close()  # type: ignore[attr-defined]
    return _finish(run, level)


class _LevelTrainer:
    """Weights, optimizer and epoch of one level, and the steps of an epoch."""

    def __init__(self, setup: TrainingSetup, level: LevelPlan, cache: FeatureCache) -> None:
        self.setup = setup
        self.plan = setup.configuration.segmenter
        self.level = level
        self.seed = derive_seed(setup.seed, "level", level.level)
        train = setup.fold.train
        self.monitor_cases = train[:: max(len(train) // MONITOR_CASES, 1)][:MONITOR_CASES]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, "weights"))
            network = build_segmenter(self.plan, setup.n_channels, level.n_parts)
        self.network = setup.runtime.place_network(network)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=self.plan.learning_rate)
        self.targets = LevelTargets(cache, level, self._warm_start(cache), setup.runtime.device)
        self.epoch = 0
        self.dead_parts: tuple[int, ...] = ()
        self.statistics: PartStatistics | None = None
        self.best_rank: tuple[int, int, float] = (-1, -1, -math.inf)

    def _warm_start(self, cache: FeatureCache) -> WarmStart | None:
        if not self.plan.warm_start_epochs:
            return None
        train = self.setup.fold.train
        sample = train[:: max(len(train) // SAMPLE_CASES, 1)][:SAMPLE_CASES]
        return WarmStart([cache.visual_target(c) for c in sample], self.level.n_parts, self.seed)

    def train_epoch(self, batches: Any) -> dict[str, Any]:
        """One epoch; returns its log entry, losses averaged over the epoch."""
        warm = self.epoch < self.plan.warm_start_epochs
        phase = "warm_start" if warm else "discovery"
        reseeding = () if warm else self.dead_parts
        sums: dict[str, float] = {}
        n_batches = 0
        for batch in batches:
            self._set_learning_rate(batch["iteration"])
            named = self._step(batch, warm, reseeding)
            for name, value in named.items():
                sums[name] = sums.get(name, 0.0) + value
            n_batches += 1
        means: dict[str, float | None] = dict.fromkeys(("cross_entropy", "feature", "visual", "invariance"))
        means |= {name: value / n_batches for name, value in sums.items()}
        if not math.isfinite(means["total"] or 0.0):
            raise DDError(f"level {self.level.level}", f"the loss is {means['total']} in epoch {self.epoch}")
        self.statistics = self._monitor()
        self.dead_parts = self.statistics.dead_parts
        entry = {
            "epoch": self.epoch,
            "phase": phase,
            **means,
            **as_log(self.statistics),
            "reseeded": list(reseeding),
        }
        self.phase = phase
        self.epoch += 1
        return entry

    def _step(self, batch: dict[str, Any], warm: bool, reseeding: Sequence[int]) -> dict[str, float]:
        image = torch.as_tensor(batch["data"])
        random = torch.Generator().manual_seed(derive_seed(self.seed, "step", batch["iteration"]))
        mirrored = [axis for axis in SPATIAL_AXES if bool(torch.randint(2, (), generator=random))]
        low, high = self.plan.gamma_range
        gamma = low + (high - low) * torch.rand(len(image), generator=random)
        if warm:
            logits = self._logits(image, mirrored)
            loss, cross_entropy = pseudo_label_loss(logits, self.targets.pseudo_labels(batch))
            named = {"total": float(loss.detach()), "cross_entropy": float(cross_entropy.detach())}
        else:
            both = self._logits(torch.cat((image, gamma_transform(image.clamp(0, 1), gamma))), mirrored)
            masks, transformed = both.softmax(dim=1).chunk(2)
            visual = self.targets.visual(batch)
            parts = discovery_loss(masks, transformed, self.targets.features(batch), visual, self.plan)
            loss, named = parts.total, parts.named()
            weight, labels = self._anchor(batch, masks.detach(), visual, reseeding)
            if labels is not None:
                anchor, cross_entropy = pseudo_label_loss(both.chunk(2)[0], labels)
                loss = loss + weight * anchor
                named["cross_entropy"] = float(cross_entropy.detach())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 12.0)
        self.optimizer.step()
        return named

    def _anchor(
        self, batch: dict[str, Any], masks: Tensor, visual: Representation, reseeding: Sequence[int]
    ) -> tuple[float, Tensor | None]:
        """Labels beside the losses, with their weight: the warm start's, and those that revive dead parts."""
        anchored = self.plan.anchor_weight > 0 and self.targets.warm_start is not None
        if not anchored and not reseeding:
            return 0.0, None
        labels = self.targets.pseudo_labels(batch) if anchored else masks.argmax(dim=1)
        if reseeding:
            labels = reseed_labels(labels, unexplained_map(masks, visual), reseeding)
        return (self.plan.anchor_weight if anchored else RESEEDING_WEIGHT), labels

    def _logits(self, image: Tensor, mirrored: list[int]) -> Tensor:
        # the image is mirrored and the prediction mirrored back, so that features need not be
        placed = self.setup.runtime.place(image.flip(mirrored) if mirrored else image)
        with self.setup.runtime.autocast():
            logits: Tensor = self.network(placed)
        logits = logits.float()
        return (logits.flip(mirrored) if mirrored else logits).contiguous()

    def _set_learning_rate(self, iteration: int) -> None:
        progress = iteration / (self.plan.epochs * self.plan.iterations_per_epoch)
        low = FINAL_LEARNING_RATE_SHARE
        rate = self.plan.learning_rate * (low + (1 - low) * (1 + math.cos(math.pi * progress)) / 2)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

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
            if len(starts) > patches_left and patches_left < MONITOR_PATCHES:
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

    def keep_if_best(self, folder: Path) -> bool:
        """Save this epoch as checkpoint_best if it ranks above all before it."""
        assert self.statistics is not None
        rank = selection_rank(self.statistics, self.phase)
        if rank <= self.best_rank:
            return False
        self.best_rank = rank
        order = canonical_order(self.statistics)
        best = {
            "network": self.network.state_dict(),
            "order": list(order),
            "epoch": self.epoch - 1,
            "shares": list(self.statistics.shares),
            "border_shares": list(self.statistics.border_shares),
            "mean_max_probability": self.statistics.mean_max_probability,
            "effective_parts": self.statistics.effective_parts,
        }
        save_checkpoint(folder / "checkpoint_best.pth", best)
        return True

    def content(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "dead_parts": list(self.dead_parts),
            "best_rank": list(self.best_rank),
        }

    def resume(self, run: RunFolder) -> None:
        path = run.path / "checkpoint_latest.pth"
        if not checkpoint_exists(path):
            # killed between the first line and the first checkpoint
            run.truncate_log(lambda entry: False)
            return
        saved = load_checkpoint(path)
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.epoch = int(saved["epoch"])
        self.dead_parts = tuple(saved["dead_parts"])
        alive, by_losses, certainty = saved["best_rank"]
        self.best_rank = (int(alive), int(by_losses), float(certainty))
        run.truncate_log(lambda entry: entry["epoch"] < self.epoch)
        run.logger.info("level %d: continues after epoch %d", self.level.level, self.epoch)


def _source(setup: TrainingSetup, level: LevelPlan) -> BatchSource:
    return BatchSource(
        setup.fold.train,
        setup.reader.image,
        setup.configuration.patch_size_zyx,
        setup.configuration.segmenter.batch_size,
        derive_seed(setup.seed, "level batches", level.level),
    )


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
