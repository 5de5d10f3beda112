"""The total loss of the segmenter (Eq. 4), as named parts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dd_nnunet.core.plan import SegmenterPlan
from dd_nnunet.objectives.consistency import Representation, consistency
from dd_nnunet.objectives.invariance import photometric_invariance, photometric_invariance_of_sums

INVARIANCES = {"squares": photometric_invariance, "masks": photometric_invariance_of_sums}


@dataclass(frozen=True)
class DiscoveryLoss:
    """Eq. 4 and its terms, each averaged over the batch (scalars)."""

    total: Tensor
    feature: Tensor
    visual: Tensor
    invariance: Tensor

    def named(self) -> dict[str, Tensor]:
        """The terms by name, cut from the graph, for the log."""
        names = ("total", "feature", "visual", "invariance")
        return {name: getattr(self, name).detach() for name in names}


def discovery_loss(
    masks: Tensor,
    transformed: Tensor | None,
    features: Sequence[Representation],
    visual: Representation,
    plan: SegmenterPlan,
) -> DiscoveryLoss:
    """L = λ_f L_f + λ_v L_v + λ_inv L_inv.

    Args:
        masks: [B,K,Z,Y,X] f(x).
        transformed: [B,K,Z,Y,X] f(T(x)); None in a step that does not ask for L_inv.
        features: one representation per decoder stage; their consistencies are averaged.
        visual: the image or its denoised copy.
        plan: the λ, whether each consistency is divided by its variance, and the denominator of Eq. 8.

    Source: Eq. (4), with Eq. (6), (7), (8).
    """
    feature_term = torch.stack([consistency(masks, h, plan.scale_free).mean() for h in features]).mean()
    visual_term = consistency(masks, visual, plan.scale_free).mean()
    return weighted(feature_term, visual_term, invariance_of_step(masks, transformed, plan), plan)


def invariance_of_step(masks: Tensor, transformed: Tensor | None, plan: SegmenterPlan) -> Tensor:
    """L_inv (scalar) times the interval of the steps that ask for it; 0 in the others: over the steps, its mean.

    Args:
        masks: [B,K,Z,Y,X] f(x).
        transformed: [B,K,Z,Y,X] f(T(x)), or None.
        plan: the denominator of Eq. 8, and the interval.
    """
    if transformed is None:
        return masks.new_zeros(())
    return plan.invariance_interval * INVARIANCES[plan.invariance](masks, transformed).mean()


def weighted(feature: Tensor, visual: Tensor, invariance: Tensor, plan: SegmenterPlan) -> DiscoveryLoss:
    """Eq. 4 of its three terms (scalars)."""
    total = plan.feature_weight * feature + plan.visual_weight * visual + plan.invariance_weight * invariance
    return DiscoveryLoss(total, feature, visual, invariance)
