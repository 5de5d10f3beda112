"""The segmenter: a plain U-Net of dynamic-network-architectures whose softmax is the mask of Eq. 5."""

from collections.abc import Sequence

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import Tensor, nn

from dd_nnunet.core.part_tree import PartTree
from dd_nnunet.core.plan import LevelGroup, SegmenterPlan


class ChannelwiseGroupNorm(nn.GroupNorm):
    """Instance normalization as a group of each channel, whose weights have the same names.

    torch's InstanceNorm3d copies a channels_last_3d volume before and after; on a CPU its GroupNorm does not.

    Source: Wu and He, ECCV 2018, section 3.1.
    """

    def __init__(self, channels: int, eps: float, affine: bool) -> None:
        super().__init__(channels, channels, eps, affine)


NORMS = {"instance": ChannelwiseGroupNorm, "batch": nn.BatchNorm3d}


def build_segmenter(plan: SegmenterPlan, n_image_channels: int, n_parts: int) -> nn.Module:
    """Build f of the paper: [B,C,Z,Y,X] in [0,1] -> logits [B,K,Z,Y,X].

    Args:
        plan: features, strides and kernels per stage; strides of the first stage are 1; norm, dropout, resizing.
        n_image_channels: C.
        n_parts: K.
    """
    n_stages = len(plan.features_per_stage)
    network: nn.Module = PlainConvUNet(
        input_channels=n_image_channels,
        n_stages=n_stages,
        features_per_stage=list(plan.features_per_stage),
        conv_op=nn.Conv3d,
        kernel_sizes=[list(k) for k in plan.kernel_sizes_zyx],
        strides=[list(s) for s in plan.strides_zyx],
        n_conv_per_stage=plan.n_convs_per_stage,
        num_classes=n_parts,
        n_conv_per_stage_decoder=plan.n_convs_per_stage,
        conv_bias=True,
        norm_op=NORMS[plan.norm],
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        dropout_op=nn.Dropout3d if plan.dropout else None,
        dropout_op_kwargs={"p": plan.dropout} if plan.dropout else None,
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=False,
    )
    return ResizedInside(network, plan.inner_multiple) if plan.inner_multiple > 1 else network


def build_group_segmenter(plan: SegmenterPlan, n_image_channels: int, group: LevelGroup) -> nn.Module:
    """The network of a group of levels: [B,C,Z,Y,X] in [0,1] -> logits [B,parts of all levels,Z,Y,X].

    Args:
        plan: see `build_segmenter`.
        n_image_channels: C.
        group: a single level, or several that nest (see `NestedSegmenter`).
    """
    network = build_segmenter(plan, n_image_channels, group.tree.n_channels)
    return NestedSegmenter(network, group.tree) if group.nested else network


class NestedSegmenter(nn.Module):
    """A network whose masks of each level refine those of the level before.

    Its outputs compete within the children of one part only, and a part's probability is that of its parent times
    its share among the children: M^l = M^{l-1}[parent] · softmax over the siblings. So the children's masks sum to
    their parent's mask at every voxel.

    Args:
        network: [B,C,Z,Y,X] -> [B,channels,Z,Y,X].
        tree: which part lies in which.
    """

    def __init__(self, network: nn.Module, tree: PartTree) -> None:
        super().__init__()
        self.network = network
        self.tree = tree

    def forward(self, x: Tensor) -> Tensor:
        """x: [B,C,Z,Y,X] -> log probabilities [B,channels,Z,Y,X] float32; exp sums to 1 over each level's parts."""
        outputs: Tensor = self.network(x)
        first, *finer = (outputs[:, channels].float() for channels in self.tree.channels)
        levels = [first.log_softmax(dim=1)]
        for parents, of_level in zip(self.tree.parents, finer, strict=True):
            levels.append(take_parts(levels[-1], parents) + sibling_log_softmax(of_level, parents))
        return torch.cat(levels, dim=1)


def sibling_log_softmax(logits: Tensor, parents: Sequence[int]) -> Tensor:
    """Log of the softmax among the parts of the same parent: [B,K,Z,Y,X] twice.

    Args:
        logits: [B,K,Z,Y,X].
        parents: of each part.
    """
    of_parent = [[k for k, p in enumerate(parents) if p == parent] for parent in range(max(parents) + 1)]
    sums = torch.stack([take_parts(logits, children).logsumexp(dim=1) for children in of_parent], dim=1)
    return logits - take_parts(sums, parents)


def take_parts(volumes: Tensor, parts: Sequence[int]) -> Tensor:
    """`volumes[:, parts]` of [B,K,Z,Y,X], which takes up to six times as long on its way back."""
    return volumes.index_select(1, torch.tensor(list(parts), device=volumes.device))


def inner_size(size_zyx: Sequence[int], multiple: int) -> list[int]:
    """The largest multiple that is not above each length; at least one multiple."""
    return [max(length // multiple, 1) * multiple for length in size_zyx]


class ResizedInside(nn.Module):
    """A network that sees its input resized by nearest neighbour, and whose output is resized back in the same way.

    Args:
        network: [B,C,z,y,x] -> [B,K,z,y,x], for lengths that are multiples of `multiple`.
        multiple: see `inner_size`.
    """

    def __init__(self, network: nn.Module, multiple: int) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple

    def forward(self, x: Tensor) -> Tensor:
        """x: [B,C,Z,Y,X] -> [B,K,Z,Y,X], of any lengths."""
        size = x.shape[2:]
        inner = nn.functional.interpolate(x, size=inner_size(size, self.multiple), mode="nearest")
        outer: Tensor = nn.functional.interpolate(self.network(inner), size=size, mode="nearest")
        return outer
