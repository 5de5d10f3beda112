"""The segmenter: a plain U-Net of dynamic-network-architectures whose softmax is the mask of Eq. 5."""

from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import nn

from dd_nnunet.core.plan import SegmenterPlan


def build_segmenter(plan: SegmenterPlan, n_image_channels: int, n_parts: int) -> nn.Module:
    """Build f of the paper: [B,C,Z,Y,X] in [0,1] -> logits [B,K,Z,Y,X].

    Args:
        plan: features, strides and kernels per stage; strides of the first stage are 1.
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
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=False,
    )
    return network
