"""What the networks need of torch and dynamic-network-architectures, tried out on networks of a few channels."""

import torch

from dd_nnunet.core.plan import DiffusionPlan, SegmenterPlan
from dd_nnunet.networks.device import choose_runtime
from dd_nnunet.networks.diffusion_unet import DiffusionUNet
from dd_nnunet.networks.segmentation_unet import build_segmenter

KERNELS = ((3, 3, 3), (3, 3, 3))
DIFFUSION = DiffusionPlan((4, 8), ((2, 2, 2),), KERNELS, 250, 1, 1, 1e-4, 0.9)
SEGMENTER = SegmenterPlan(
    (4, 8), ((1, 1, 1), (2, 2, 2)), KERNELS, 1, 1, 1, 1, 0, 1e-3, 1.0, 1.0, 1.0, True, (1.0, 1.0)
)
N_PARTS = 3


def try_networks(device: str) -> str:
    """Build both networks, run them forward and backward on 8³ voxels, and return the device.

    Raises:
        RuntimeError: what came out has another shape than we build on.
        Exception: whatever a library that does not fit raises.
    """
    runtime = choose_runtime(device, "float32")
    volume = runtime.place(torch.zeros(1, 1, 8, 8, 8))  # [B,C,Z,Y,X]
    diffusion = runtime.place_network(DiffusionUNet(DIFFUSION, 1))
    segmenter = runtime.place_network(build_segmenter(SEGMENTER, 1, N_PARTS))
    denoised = diffusion(volume, torch.zeros(1, dtype=torch.long, device=runtime.device))
    logits = segmenter(volume)
    (denoised.square().mean() + logits.square().mean()).backward()
    shapes = tuple(denoised.shape), tuple(logits.shape)
    if shapes != ((1, 1, 8, 8, 8), (1, N_PARTS, 8, 8, 8)):
        raise RuntimeError(f"the networks return shapes {shapes}")
    return runtime.device.type
