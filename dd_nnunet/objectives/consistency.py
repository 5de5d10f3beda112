"""Consistency of a representation across parts (Eq. 5), exactly and without up-sampling it.

Because Σ_k M_ku = 1 and z_k is the weighted mean, Eq. 5 is

    C(h) = V − (1/N) Σ_k ‖s_k‖² / n_k,   V = (1/N) Σ_u ‖h_u‖²,   s_k = Σ_u M_ku h_u,   n_k = Σ_u M_ku,

and for h = U φ, a linear up-sampling of low-resolution features φ, s_k = Σ_v (Uᵀ M_k)_v φ_v. Nothing of the size
channels × voxels is ever built. Subtracting the mean of h changes neither C nor its gradient and makes V the
variance, so that C / V, the share of the variance that the parts leave unexplained, lies in [0,1].
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dd_nnunet.objectives.upsampling import AxisMatrices, gather

SMALLEST_VOLUME = 1e-6
SMALLEST_VARIANCE = 1e-12


@dataclass(frozen=True)
class Representation:
    """A representation h of a batch of images, centred, with what Eq. 5 needs of it.

    Args:
        values: [B,C,V] h (or φ where h = U φ), minus the mean of h over the voxels.
        variance: [B] V = (1/N) Σ_u ‖h_u‖² of the centred h.
        matrices: U per axis ([B,Z,z], [B,Y,y], [B,X,x]), or None where h is given at every voxel.
        n_voxels: N.
    """

    values: Tensor
    variance: Tensor
    matrices: AxisMatrices | None
    n_voxels: int


def represent_voxels(h: Tensor) -> Representation:
    """Representation given at every voxel, e.g. the image itself.

    Args:
        h: [B,C,Z,Y,X].
    """
    values = h.flatten(2)
    values = values - values.mean(dim=2, keepdim=True)
    variance = values.square().sum(dim=1).mean(dim=1)
    return Representation(values, variance, None, values.shape[2])


def represent_cells(features: Tensor, matrices: AxisMatrices) -> Representation:
    """Representation h = U φ of low-resolution features φ, up-sampled only in thought.

    Args:
        features: [B,p,z,y,x] φ.
        matrices: U per axis, [B,Z,z], [B,Y,y], [B,X,x].
    """
    weights = [m.sum(dim=1) for m in matrices]  # Uᵀ1 per axis: [B,z], [B,y], [B,x]
    n_voxels = matrices[0].shape[1] * matrices[1].shape[1] * matrices[2].shape[1]
    mean = torch.einsum("bpzyx,bz,by,bx->bp", features, *weights) / n_voxels
    centred = features - mean[..., None, None, None]
    grams: AxisMatrices = tuple(m.transpose(1, 2) @ m for m in matrices)  # type: ignore[assignment]
    # Σ_u ‖(Uφ)_u‖² = ⟨φ, (UᵀU)φ⟩, and UᵀU is separable as U is
    total = (centred * gather(centred, grams)).flatten(1).sum(dim=1)
    return Representation(centred.flatten(2), total / n_voxels, matrices, n_voxels)


def part_sums(masks: Tensor, h: Representation) -> tuple[Tensor, Tensor]:
    """s_k and n_k.

    Args:
        masks: [B,K,Z,Y,X] in [0,1], summing to 1 over K.
        h: the representation.

    Returns:
        s: [B,K,C] and n: [B,K].
    """
    weights = masks if h.matrices is None else gather(masks, h.matrices)
    weights = weights.flatten(2)
    # the rows of U sum to 1, so the gathered masks hold the same volume as the masks
    return weights @ h.values.transpose(1, 2), weights.sum(dim=2)


def consistency(masks: Tensor, h: Representation, scale_free: bool) -> Tensor:
    """C(h), or C(h)/V if `scale_free`.

    Args:
        masks: [B,K,Z,Y,X] in [0,1], summing to 1 over K.
        h: the representation.
        scale_free: divide by V, which makes it the unexplained share of the variance, in [0,1].

    Returns:
        [B] per image.

    Source: Eq. (5), in the form above.
    """
    sums, volumes = part_sums(masks, h)
    explained = (sums.square().sum(dim=2) / volumes.clamp(min=SMALLEST_VOLUME)).sum(dim=1) / h.n_voxels
    unexplained = h.variance - explained
    return unexplained / h.variance.clamp(min=SMALLEST_VARIANCE) if scale_free else unexplained


def unexplained_map(masks: Tensor, h: Representation) -> Tensor:
    """How badly each voxel (or cell) is explained by its part: ‖h_u − z_{k(u)}‖².

    Args:
        masks: [B,K,Z,Y,X].
        h: the representation.

    Returns:
        [B,V] on the grid of `h.values`.
    """
    sums, volumes = part_sums(masks, h)
    centres = sums / volumes.clamp(min=SMALLEST_VOLUME)[..., None]  # [B,K,C]
    distance = torch.cdist(h.values.transpose(1, 2), centres).square()  # [B,V,K]
    on_grid = masks if h.matrices is None else gather(masks, h.matrices)
    owner = on_grid.flatten(2).argmax(dim=1)  # [B,V]
    return distance.gather(2, owner[..., None])[..., 0]
