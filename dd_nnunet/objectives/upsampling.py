"""Linear up-sampling of low-resolution features as one small matrix per axis."""

import torch
from torch import Tensor

from dd_nnunet.core.plan import Zyx

AxisMatrices = tuple[Tensor, Tensor, Tensor]


def interpolation_matrix(
    n_voxels: int, n_cells: int, reduction: float, first_voxel: int = 0, on_corners: bool = False
) -> Tensor:
    """Weights that interpolate cells at the voxels first_voxel … first_voxel + n_voxels - 1 of one axis.

    Cell i covers the voxels [i·r, (i+1)·r); its value stands at their centre. Beyond the outermost centres the
    value is constant. This is trilinear interpolation with half-pixel centres along one axis. With `on_corners` the
    first and the last cell stand at the first and the last of the n_cells · r voxels instead ("align corners"), so
    that all others are shifted against what they cover.

    Args:
        n_voxels: number of rows.
        n_cells: number of columns; with `on_corners` all cells of the volume.
        reduction: r, voxels per cell; no whole number where a volume was resized.
        first_voxel: position of the first row, counted from the first cell's first voxel; may be negative.
        on_corners: where cells stand.

    Returns:
        [n_voxels, n_cells] float32, rows sum to 1.
    """
    voxels = torch.arange(first_voxel, first_voxel + n_voxels, dtype=torch.float64)
    if on_corners:
        position = voxels * (n_cells - 1) / max(n_cells * reduction - 1, 1)
    else:
        position = (voxels + 0.5) / reduction - 0.5
    position = position.clamp(0, n_cells - 1)
    cells = torch.arange(n_cells, dtype=torch.float64)
    return (1 - (position[:, None] - cells).abs()).clamp(min=0).float()


def axis_matrices(
    shape_zyx: Zyx,
    cells_zyx: Zyx,
    reduction_zyx: tuple[float, float, float],
    first_voxel_zyx: Zyx,
    on_corners: bool = False,
) -> AxisMatrices:
    """`interpolation_matrix` of each axis: [Z,z], [Y,y], [X,x]."""
    z, y, x = (
        interpolation_matrix(*axis, on_corners)
        for axis in zip(shape_zyx, cells_zyx, reduction_zyx, first_voxel_zyx, strict=True)
    )
    return (z, y, x)


def gather(masks: Tensor, matrices: AxisMatrices) -> Tensor:
    """Uᵀ M: sum a full-resolution map into the cells it is interpolated from.

    Args:
        masks: [B,K,Z,Y,X].
        matrices: per axis [B,Z,z], [B,Y,y], [B,X,x].

    Returns:
        [B,K,z,y,x].
    """
    along_z, along_y, along_x = matrices
    n_batch, n_maps, size_z, size_y, size_x = masks.shape
    cells_y, cells_x = along_y.shape[2], along_x.shape[2]
    # the slowest axis first: one wide product reads the masks once and leaves an array Z/z times smaller
    reduced = along_z.transpose(1, 2)[:, None] @ masks.reshape(n_batch, n_maps, size_z, size_y * size_x)
    reduced = reduced.reshape(n_batch, -1, size_y, size_x)  # [B, K·z, Y, X]
    reduced = along_y.transpose(1, 2)[:, None] @ reduced  # [B, K·z, y, X]
    reduced = reduced.reshape(n_batch, -1, size_x) @ along_x  # [B, K·z·y, x]
    return reduced.reshape(n_batch, n_maps, along_z.shape[2], cells_y, cells_x)


def spread(cells: Tensor, matrices: AxisMatrices) -> Tensor:
    """U φ: interpolate cells [B,C,z,y,x] to voxels [B,C,Z,Y,X]; the transpose of `gather`."""
    along_z, along_y, along_x = matrices
    return gather(cells, (along_z.transpose(1, 2), along_y.transpose(1, 2), along_x.transpose(1, 2)))
