"""The losses of one level in a training: its own, or those of a level that refines the one before."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dd_nnunet.core.plan import ConfigurationPlan, LevelPlan
from dd_nnunet.networks.segmentation_unet import sibling_log_softmax, take_parts
from dd_nnunet.objectives.consistency import Representation, unexplained_map
from dd_nnunet.objectives.discovery import DiscoveryLoss, discovery_loss, invariance_of_step, weighted
from dd_nnunet.objectives.nested_consistency import nested_consistency
from dd_nnunet.training.batches import Batch
from dd_nnunet.training.level_batches import LevelTargets
from dd_nnunet.training.pseudo_labels import (
    given_parents,
    pseudo_label_loss,
    reseed_labels,
    reseed_within_parents,
)

RESEEDING_WEIGHT = 1.0
Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Coarser:
    """The level before, of which a level refines the parts.

    Args:
        masks: [B,K,Z,Y,X] probabilities, cut from the graph.
        transformed: those of the transformed volumes; None in a step without.
    """

    masks: Tensor
    transformed: Tensor | None


class LevelObjective:
    """Losses of one level.

    Args:
        configuration: the plan.
        level: of it.
        parents: of each part, the part of the level before; None = the level stands alone, or first.
        targets: what the losses compare with.
    """

    def __init__(
        self,
        configuration: ConfigurationPlan,
        level: LevelPlan,
        parents: Sequence[int] | None,
        targets: LevelTargets,
    ) -> None:
        self.plan = configuration.segmenter
        self.level = level
        self.parents = parents
        self.targets = targets
        objects = configuration.objects
        self.from_objects = configuration.starts_from_objects(level)
        self.anchor_weight = (
            objects.anchor_weight if objects and self.from_objects else self.plan.anchor_weight
        )
        self.reseeds = self.plan.recipe != "plain" and not self.from_objects
        self.dead_parts: tuple[int, ...] = ()

    @property
    def parts_to_seed(self) -> tuple[int, ...]:
        """Dead parts that get labels of their own."""
        # objects keep their parts in the labels; other labels in their place would be unlearned again
        return self.dead_parts if self.reseeds else ()

    def warm_start(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Losses]:
        """Cross-entropy and Dice against the pseudo-labels, and the former by name.

        Args:
            logits: [B,K,Z,Y,X]; log probabilities in a network of several levels.
            batch: that they are of.
        """
        loss, cross_entropy = self._against(logits, self.targets.pseudo_labels(batch))
        return loss, {"total": loss.detach(), "cross_entropy": cross_entropy.detach()}

    def discovery(
        self, logits: Tensor, transformed: Tensor | None, batch: Batch, coarser: Coarser | None
    ) -> tuple[Tensor, Losses]:
        """Eq. 4, with labels beside it, and its terms by name.

        Args:
            logits: [B,K,Z,Y,X] of the volumes; log probabilities in a network of several levels.
            transformed: [B,K,Z,Y,X] of the photometrically transformed volumes; None in a step without.
            batch: that they are of.
            coarser: the level before; None for a first level.
        """
        visual = self.targets.visual(batch)
        features = self.targets.features(batch)
        if coarser is None or self.parents is None:
            masks = logits.softmax(dim=1)
            changed = None if transformed is None else transformed.softmax(dim=1)
            parts = discovery_loss(masks, changed, features, visual, self.plan)
        else:
            masks = self._within(logits, coarser.masks)
            changed = None
            if transformed is not None and coarser.transformed is not None:
                changed = self._within(transformed, coarser.transformed)
            parts = self._nested_discovery(masks, changed, features, visual)
        loss, named = parts.total, parts.named()
        weight, labels = self._anchor(batch, masks.detach(), visual)
        if labels is not None:
            anchor, cross_entropy = self._against(logits, labels)
            loss = loss + weight * anchor
            named["cross_entropy"] = cross_entropy.detach()
        return loss, named

    def _within(self, log_masks: Tensor, coarser: Tensor) -> Tensor:
        """Masks of which only the share among siblings can learn; what the parents are is not asked here."""
        assert self.parents is not None
        shares = sibling_log_softmax(log_masks, self.parents).exp()
        return take_parts(coarser, self.parents) * shares

    def _nested_discovery(
        self,
        masks: Tensor,
        changed: Tensor | None,
        features: Sequence[Representation],
        visual: Representation,
    ) -> DiscoveryLoss:
        assert self.parents is not None
        terms = [nested_consistency(masks, self.parents, h, self.plan.scale_free).mean() for h in features]
        seen = nested_consistency(masks, self.parents, visual, self.plan.scale_free).mean()
        invariance = invariance_of_step(masks, changed, self.plan)
        return weighted(torch.stack(terms).mean(), seen, invariance, self.plan)

    def _against(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if self.parents is None:
            return pseudo_label_loss(logits, labels)
        return given_parents(logits, labels, self.parents)

    def _anchor(self, batch: Batch, masks: Tensor, visual: Representation) -> tuple[float, Tensor | None]:
        """Labels beside the losses, with their weight: the warm start's, and those that revive dead parts."""
        anchored = self.anchor_weight > 0 and self.plan.warm_start_epochs > 0
        if not anchored and not self.parts_to_seed:
            return 0.0, None
        labels = self.targets.pseudo_labels(batch) if anchored else masks.argmax(dim=1)
        if self.parts_to_seed:
            unexplained = unexplained_map(masks, visual)
            if self.parents is None:
                labels = reseed_labels(labels, unexplained, self.parts_to_seed)
            else:
                labels = reseed_within_parents(labels, unexplained, self.parts_to_seed, self.parents)
        return (self.anchor_weight if anchored else RESEEDING_WEIGHT), labels
