import pytest

from dd_nnunet.planning.topology import (
    Topology,
    initial_patch_size,
    pad_to_multiple,
    plan_topology,
    shrink_patch,
    total_stride,
)

ISOTROPIC = (1.0, 1.0, 1.0)


def test_50_is_halved_three_times_50_25_13_7():
    topology = plan_topology(ISOTROPIC, (50, 50, 50))
    assert topology.strides_zyx == ((2, 2, 2),) * 3
    assert topology.kernel_sizes_zyx == ((3, 3, 3),) * 4
    assert topology.patch_size_zyx == (56, 56, 56)
    assert topology.total_stride_zyx == (8, 8, 8)


@pytest.mark.parametrize(("edge", "n_strides", "padded"), [(8, 1, 8), (16, 2, 16), (32, 3, 32), (64, 4, 64)])
def test_powers_of_two_keep_their_size(edge, n_strides, padded):
    topology = plan_topology(ISOTROPIC, (edge,) * 3)
    assert len(topology.strides_zyx) == n_strides
    assert topology.patch_size_zyx == (padded,) * 3


def test_a_coarse_axis_waits_until_the_others_are_as_coarse():
    # spacing 5/1/1: y, x are halved to 2 and 4 mm; at 4 mm z (5 mm) is within a factor of 2 and joins
    topology = plan_topology((5.0, 1.0, 1.0), (20, 128, 128))
    assert topology.strides_zyx == ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
    # the kernel across slices is 1 at 1 and 2 mm (ratios 5 and 2.5), 3 from 4 mm on
    assert topology.kernel_sizes_zyx == ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))
    assert topology.patch_size_zyx == (20, 128, 128)


def test_a_single_axis_is_halved_from_12_cells_on():
    assert plan_topology(ISOTROPIC, (7, 7, 11)).strides_zyx == ()
    assert plan_topology(ISOTROPIC, (7, 7, 12)).strides_zyx == ((1, 1, 2),)


def test_one_voxel_axes_are_never_halved():
    topology = plan_topology(ISOTROPIC, (1, 16, 16))
    assert topology.strides_zyx == ((1, 2, 2), (1, 2, 2))
    assert topology.patch_size_zyx == (1, 16, 16)


def test_initial_patch_is_the_median_shape_within_a_cube_of_256():
    assert initial_patch_size(ISOTROPIC, (155, 240, 240)) == (155, 240, 240)
    assert initial_patch_size(ISOTROPIC, (300, 600, 600)) == (256, 256, 256)
    # 256³ voxels of 4·1·1 mm³ are a cube of 406.4 mm: 102 x 406 x 406
    assert initial_patch_size((4.0, 1.0, 1.0), (500, 500, 500)) == (102, 406, 406)


def test_pad_to_multiple():
    assert pad_to_multiple((50, 56, 57), (8, 8, 8)) == (56, 56, 64)
    assert total_stride(((2, 2, 2), (1, 2, 2))) == (2, 4, 4)
    assert total_stride(()) == (1, 1, 1)


def test_the_axis_that_covers_most_of_the_volume_shrinks_first():
    topology = Topology((64, 64, 64), ((2, 2, 2),) * 3, ((3, 3, 3),) * 4)
    assert shrink_patch(topology, (60, 50, 70)) == (64, 56, 64)


def test_a_patch_of_8_voxels_shrinks_no_further():
    assert shrink_patch(Topology((8, 8, 8), ((2, 2, 2),), ((3, 3, 3),) * 2), (99, 99, 99)) is None
