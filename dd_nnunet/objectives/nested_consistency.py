"""Consistency of a representation across the children of a part, as a share of what the part left unexplained.

For a part p with the weights M_p, the sum of squares around its mean is V_p = Σ_u M_pu ‖h_u‖² − ‖s_p‖²/n_p. Children
whose masks sum to M_p explain E_p = Σ_c ‖s_c‖²/n_c − ‖s_p‖²/n_p of it, so that 1 − E_p/V_p is Eq. 5 inside the part,
divided by the part's own variance. A small part counts as much as a large one: splitting it well pays as much.

For h = U φ, Σ_u M_pu ‖h_u‖² is bounded by Σ_v (Uᵀ M_p)_v ‖φ_v‖² (the rows of U are convex weights), which is taken
in its place: the sum of squares of the cells, each as heavy as the voxels that are interpolated from it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dd_nnunet.objectives.consistency import SMALLEST_VARIANCE, SMALLEST_VOLUME, Representation
from dd_nnunet.objectives.upsampling import gather

# of a part in a patch; less has no variance to speak of
FEWEST_VOXELS = 1.0


def nested_consistency(masks: Tensor, parents: Sequence[int], h: Representation, scale_free: bool) -> Tensor:
    """Mean over the parts that split of 1 − E_p/V_p; or the sum of V_p − E_p over the voxels' number.

    Args:
        masks: [B,K,Z,Y,X] of the children of all parts, summing to 1 over K.
        parents: of each child, the part it lies in.
        h: the representation.
        scale_free: divide each by V_p. Otherwise it is what these parts contribute to Eq. 5, of cells to its bound.

    Returns:
        [B] per image; with `scale_free` in [0,1]. Parts of less than a voxel, and parts with one child, do not count.

    Source: documentation/explanation/method.md, "Nested levels"; from Eq. (5).
    """
    weights = (masks if h.matrices is None else gather(masks, h.matrices)).flatten(2)  # [B,K,V]
    sums, volumes = weights @ h.values.transpose(1, 2), weights.sum(dim=2)  # [B,K,C], [B,K]
    squares = weights @ h.values.square().sum(dim=1)[..., None]  # [B,K,1]
    left, spread, splits = [], [], []
    for parent in range(max(parents) + 1):
        children = [k for k, p in enumerate(parents) if p == parent]
        if len(children) < 2:
            continue
        n = volumes[:, children]
        explained = (sums[:, children].square().sum(dim=2) / n.clamp(min=SMALLEST_VOLUME)).sum(dim=1)
        total, whole = n.sum(dim=1), sums[:, children].sum(dim=1).square().sum(dim=1)
        mean_square = squares[:, children, 0].sum(dim=1)
        left.append(mean_square - explained)
        spread.append(mean_square - whole / total.clamp(min=SMALLEST_VOLUME))
        splits.append(total >= FEWEST_VOXELS)
    if not left:
        return masks.new_zeros(len(masks))
    counted = torch.stack(splits, dim=1)
    unexplained = torch.where(counted, torch.stack(left, dim=1), 0.0)
    if not scale_free:
        return unexplained.sum(dim=1) / h.n_voxels
    variances = torch.stack(spread, dim=1).clamp(min=SMALLEST_VARIANCE * FEWEST_VOXELS)
    return (unexplained / variances).sum(dim=1) / counted.sum(dim=1).clamp(min=1)
