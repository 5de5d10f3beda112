"""A trained segmenter, its parts in canonical order."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from dd_nnunet.core.errors import UserError
from dd_nnunet.core.plan import LevelGroup, SegmenterPlan
from dd_nnunet.networks.checkpoint import load_checkpoint, load_weights
from dd_nnunet.networks.segmentation_unet import build_group_segmenter


def load_segmenter(plan: SegmenterPlan, n_channels: int, group: LevelGroup, path: Path) -> nn.Module:
    """The trained segmenter of a group of levels in eval mode, on the CPU; its parts stand in canonical order.

    Raises:
        UserError: the checkpoint is damaged, of another network, or orders other parts than the levels have.
    """
    content = load_checkpoint(path)
    network = build_group_segmenter(plan, n_channels, group)
    load_weights(network, content.get("network", {}), path)
    order = check_order(content.get("order", ()), group, path)
    return CanonicalParts(network, order).requires_grad_(False).eval()


def check_order(order: Sequence[int], group: LevelGroup, where: Path) -> Sequence[int]:
    """The order itself, if it names each output channel of a segmenter once, each among those of its level.

    Raises:
        UserError: it does not.
    """
    tree = group.tree
    if len(order) == tree.n_channels and all(
        sorted(order[channels]) == list(range(channels.start, channels.stop)) for channels in tree.channels
    ):
        return order
    reason = f"orders its parts {list(order)[: tree.n_channels]}, {group.name} has {tree.n_channels}"
    raise UserError(where, reason, "use the plan it was trained with")


class CanonicalParts(nn.Module):
    """A segmenter whose output channels are put in canonical order: [B,C,Z,Y,X] -> logits [B,K,Z,Y,X]."""

    order: Tensor

    def __init__(self, network: nn.Module, order: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("order", torch.tensor(list(order)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B,C,Z,Y,X] in [0,1]."""
        logits: Tensor = self.network(x)
        return logits[:, self.order]
