"""Linear up-sampling as one matrix per axis."""

import pytest
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


def test_cells_on_the_corners_by_hand() -> None:
    # two cells over three voxels: they stand at the first and the last one, the middle voxel is half of each
    assert interpolation_matrix(3, 2, 1.5, on_corners=True).tolist() == [[1, 0], [0.5, 0.5], [0, 1]]
    # before and behind the volume the value is constant
    assert interpolation_matrix(5, 2, 1.5, -1, on_corners=True).tolist()[::4] == [[1, 0], [0, 1]]


def test_resized_volumes_and_corners_equal_torch_interpolate() -> None:
    cells = torch.randn(1, 2, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    # no whole number of voxels per cell: 5 / 2, 7 / 3, 6 / 4
    for on_corners in (False, True):
        axes = axis_matrices((5, 7, 6), (2, 3, 4), (5 / 2, 7 / 3, 6 / 4), (0, 0, 0), on_corners)
        expected = torch.nn.functional.interpolate(
            cells, size=(5, 7, 6), mode="trilinear", align_corners=on_corners
        )
        assert torch.allclose(spread(cells, tuple(m[None] for m in axes)), expected, atol=1e-6)


def test_corners_shift_cells_against_what_they_cover() -> None:
    # 50 voxels from 8 cells of 6.25: cell 1 covers the voxels around 8.875, but is put on voxel 7
    assert interpolation_matrix(50, 8, 6.25)[7].tolist()[:2] == [pytest.approx(0.3), pytest.approx(0.7)]
    assert interpolation_matrix(50, 8, 6.25, on_corners=True)[7].tolist()[:2] == [0, 1]
