"""Linear up-sampling as one matrix per axis."""

import torch

from dd_nnunet.objectives.upsampling import axis_matrices, gather, interpolation_matrix, spread


def test_weights_by_hand() -> None:
    # two cells of two voxels: centres at voxels 0.5 and 2.5; voxel 1 is a quarter of the way between them
    expected = [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]]
    assert interpolation_matrix(4, 2, 2).tolist() == expected


def test_a_patch_is_rows_of_the_whole() -> None:
    whole = interpolation_matrix(12, 3, 4)
    assert torch.equal(interpolation_matrix(5, 3, 4, first_voxel=6), whole[6:11])


def test_equals_torch_interpolate() -> None:
    cells = torch.randn(1, 2, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    matrices = tuple(m[None] for m in axis_matrices((4, 6, 8), (2, 3, 4), (2, 2, 2), (0, 0, 0)))
    expected = torch.nn.functional.interpolate(cells, scale_factor=2, mode="trilinear", align_corners=False)
    assert torch.allclose(spread(cells, matrices), expected, atol=1e-6)


def test_gather_is_the_transpose_of_spread() -> None:
    generator = torch.Generator().manual_seed(1)
    cells = torch.randn(2, 3, 2, 3, 4, generator=generator)
    voxels = torch.randn(2, 3, 4, 6, 8, generator=generator)
    matrices = tuple(m.expand(2, -1, -1) for m in axis_matrices((4, 6, 8), (2, 3, 4), (2, 2, 2), (0, 0, 0)))
    assert torch.allclose(
        (spread(cells, matrices) * voxels).sum(), (cells * gather(voxels, matrices)).sum(), atol=1e-4
    )
