import math

import pytest

from dd_nnunet.core.errors import UserError
from dd_nnunet.core.units import GB
from dd_nnunet.planning.networks import Task, plan_networks
from dd_nnunet.planning.presets import PRESETS, Budget


def plan(shape, gb=8.0, preset="standard", spacing=(1.0, 1.0, 1.0), bytes_per_value=4):
    task = Task(spacing, shape, 1, 8, bytes_per_value)
    return plan_networks(task, PRESETS[preset], Budget(gb, preset))


def test_what_fits_is_not_shrunk():
    nets = plan((50, 50, 50))
    assert nets.topology.patch_size_zyx == nets.full_patch_zyx == nets.preset_patch_zyx == (56, 56, 56)
    assert nets.diffusion.channels == (32, 64, 128, 256)
    assert nets.segmenter.channels == (32, 64, 128, 256)
    assert (nets.diffusion_batch_size, nets.segmenter_batch_size) == (4, 2)
    assert nets.channel_divisor == 1


def test_the_diffusion_network_has_at_most_four_resolutions():
    nets = plan((64, 64, 64))
    assert len(nets.segmenter.channels) == 5
    assert nets.diffusion.channels == (32, 64, 128, 256)
    assert nets.diffusion.strides_zyx == ((2, 2, 2),) * 3


def test_segmenter_channels_stop_at_320():
    assert plan((128, 128, 128), gb=64).segmenter.channels == (32, 64, 128, 256, 320, 320)


def test_little_memory_shrinks_the_patch_then_the_channels():
    sizes = [plan((128, 128, 128), gb) for gb in (64, 8, 4, 2, 1, 0.4, 0.15)]
    voxels = [math.prod(nets.topology.patch_size_zyx) for nets in sizes]
    assert voxels == sorted(voxels, reverse=True) and voxels[0] == 128**3
    assert [nets.channel_divisor for nets in sizes] == [1, 1, 1, 1, 1, 2, 4]
    for nets, gb in zip(sizes, (64, 8, 4, 2, 1, 0.4, 0.15), strict=True):
        assert nets.estimated_bytes <= gb * GB


def test_half_the_bytes_take_a_larger_patch():
    single, half = (plan((200, 200, 200), bytes_per_value=b).topology.patch_size_zyx for b in (4, 2))
    assert math.prod(half) > 1.5 * math.prod(single)


def test_the_preset_bounds_the_patch_before_the_memory_does():
    nets = plan((128, 128, 128), preset="fast")
    assert math.prod(nets.topology.patch_size_zyx) <= 64**3
    assert nets.preset_patch_zyx == nets.topology.patch_size_zyx
    assert nets.full_patch_zyx == (128, 128, 128)


def test_nothing_fits_into_a_megabyte():
    with pytest.raises(
        UserError, match=r"0.001 GB is too little: the smallest networks need .*; give at least"
    ):
        plan((50, 50, 50), 0.001)


def test_what_the_refusal_recommends_works():
    with pytest.raises(UserError) as caught:
        plan((50, 50, 50), 0.001)
    plan((50, 50, 50), float(caught.value.remedy.split()[-1]))
