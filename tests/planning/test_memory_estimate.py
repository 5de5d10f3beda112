import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_plan import make_configuration, make_plan

from dd_nnunet.core.plan import DiffusionPlan, Plan, SegmenterPlan
from dd_nnunet.core.units import GB
from dd_nnunet.networks.diffusion_unet import DiffusionUNet
from dd_nnunet.networks.segmentation_unet import build_segmenter
from dd_nnunet.planning.memory import (
    DIFFUSION_TENSORS,
    SEGMENTER_SKIP_TENSORS,
    SEGMENTER_TENSORS_PER_CONV,
    UNetShape,
    diffusion_training_bytes,
    n_parameters,
    segmenter_training_bytes,
    training_bytes,
)
from dd_nnunet.storage.atomic import read_record

GOLDEN = Path(__file__).parents[1] / "golden"
CUBES = ((3, 3, 3),) * 2
SMALL = UNetShape((4, 4, 4), (2, 4), ((2, 2, 2),), CUBES, 1)


def test_parameters_by_hand():
    # down 0: 27·2·(1+2), up 0: 27·2·(4+2), transposed convolution 8·4·2, down 1: 27·4·(2+4)
    assert n_parameters(SMALL, 2) == 162 + 324 + 64 + 648


def test_diffusion_bytes_by_hand():
    # 64 voxels · 2 channels + 8 voxels · 4 channels
    activations = (128 + 32) * DIFFUSION_TENSORS * 2
    # weight, gradient, two moments and the average in float32; a bfloat16 copy and its gradient
    expected = (5 * 4 + 2 * 2) * n_parameters(SMALL, 4) + 1.25 * 3 * activations
    assert diffusion_training_bytes(SMALL, 3, 2) == pytest.approx(expected)


def test_segmenter_bytes_by_hand():
    # both passes of the invariance loss; K = 5 masks in float32, four of each
    activations = 2 * ((128 + 32) * (4 * 2 + 2) * 4 + 4 * 4 * 5 * 64)
    expected = 4 * 4 * n_parameters(SMALL, 2) + 1.15 * activations
    assert segmenter_training_bytes(SMALL, 2, 5, 1, 4) == pytest.approx(expected)
    # seven of each where levels nest
    more = 1.15 * 2 * 3 * 4 * 5 * 64
    assert segmenter_training_bytes(SMALL, 2, 5, 1, 4, nested=True) == pytest.approx(expected + more)


def saved_bytes(forward):
    """What autograd keeps to go back, each storage once."""
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()
    del result
    return sum(storage.nbytes() for storage in kept.values())


CHANNELS, STRIDES, KERNELS = (8, 16, 32), ((2, 2, 2), (2, 2, 2)), ((3, 3, 3),) * 3
CHANNEL_VOXELS = 24**3 * 8 + 12**3 * 16 + 6**3 * 32
VOLUME = torch.zeros(1, 1, 24, 24, 24)


def tensors_kept(network, forward):
    weights = sum(p.nbytes for p in network.parameters())
    return (saved_bytes(forward) - weights) / 4 / CHANNEL_VOXELS


def test_the_diffusion_network_keeps_what_is_estimated():
    network = DiffusionUNet(DiffusionPlan(CHANNELS, STRIDES, KERNELS, 250, 1, 1, 1e-4, 0.9), 1)
    kept = tensors_kept(network, lambda: network(VOLUME, torch.tensor([3])))
    assert kept == pytest.approx(DIFFUSION_TENSORS, rel=0.05)
    parameters = sum(p.numel() for p in network.parameters())
    shape = UNetShape((24, 24, 24), CHANNELS, STRIDES, KERNELS, 1)
    assert parameters == pytest.approx(n_parameters(shape, 4), rel=0.15)


def test_the_segmenter_keeps_what_is_estimated():
    plan = SegmenterPlan(
        CHANNELS, ((1, 1, 1), *STRIDES), KERNELS, 2, 1, 1, 1, 0, 1e-3, 1, 1, 1, True, (0.9, 1.1)
    )
    network = build_segmenter(plan, 1, 4)
    kept = tensors_kept(network, lambda: network(VOLUME))
    assert kept == pytest.approx(2 * SEGMENTER_TENSORS_PER_CONV + SEGMENTER_SKIP_TENSORS, rel=0.05)
    parameters = sum(p.numel() for p in network.parameters())
    shape = UNetShape((24, 24, 24), CHANNELS, STRIDES, KERNELS, 1)
    assert parameters == pytest.approx(n_parameters(shape, 2), rel=0.02)


@pytest.mark.parametrize("number", [0, 16], ids=["one level", "three that nest"])
def test_real_training_steps_stay_within_15_percent_of_the_estimate(number):
    script = Path(__file__).parents[2] / "benchmarks" / "memory_model.py"
    done = subprocess.run(
        [sys.executable, script, "--row", str(number)], check=True, capture_output=True, encoding="utf-8"
    )
    row = json.loads(done.stdout.splitlines()[-1])
    assert (row["patch_zyx"], row["nested"]) == {
        0: ([16, 16, 16], []),
        16: ([32, 32, 32], [2, 4, 8]),
    }[number]
    for step in ("diffusion_gb", "segmenter_gb"):
        assert row[step]["predicted"] == pytest.approx(row[step]["measured"], rel=0.15)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("plan_*.json")), ids=lambda path: path.stem)
def test_a_plan_as_it_stands_needs_what_was_estimated_of_it(path):
    plan = read_record(Plan, path)
    for configuration in plan.configurations.values():
        needed = training_bytes(configuration, 2 if configuration.precision == "bfloat16" else 4)
        assert needed / GB == pytest.approx(configuration.estimated_gpu_memory_gb, abs=6e-4)


def test_edits_count():
    configuration = make_plan().configuration("3d_fullres")
    one, two = (make_configuration(diffusion={"batch_size": n, "channels": (64, 128)}) for n in (1, 2))
    assert training_bytes(configuration, 4) < training_bytes(one, 4) < training_bytes(two, 4)
