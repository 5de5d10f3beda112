"""The estimate of a prediction, term by term."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
import torch
from small_plan import CONFIGURATION

from dd_nnunet.core.plan import LevelGroup, LevelPlan
from dd_nnunet.networks.device import Runtime
from dd_nnunet.prediction.memory_budget import MemoryBudget
from dd_nnunet.prediction.predict_case import FoldEnsemble, PredictionSettings
from dd_nnunet.regions.own_means import divide_by_own_means
from dd_nnunet.regions.small_components import absorb_small_components

CPU = Runtime(torch.device("cpu"), False, "")


def budget(n_folds=1, device=CPU, save_probabilities=False):
    settings = PredictionSettings(CONFIGURATION, device, save_probabilities=save_probabilities)
    # 1000 weights and as many biases
    networks = [torch.nn.Conv3d(1, 1000, 1)] * n_folds
    levels = (LevelPlan(1, 3, (1,)), LevelPlan(2, 2, (1,)))
    return MemoryBudget.of([FoldEnsemble(networks, settings, LevelGroup((level,))) for level in levels], 1e9)


def needed(**kwargs):
    return budget(**kwargs).bytes_to_predict((20, 14, 16), (40, 28, 32))


def test_every_term_by_hand():
    patch = 12 * 14 * 16
    # 8 channels at full resolution, 16 at an eighth of it; 9 tensors of them, 8 of 3 parts
    one_patch = 4 * (9 * (8 * patch + 16 * patch / 8) + 8 * 3 * patch)
    weights = 4 * 2 * 2000
    # the volume and its padded copy, the sums of 3 parts and their weights, slices on their way back
    arrays = 4 * (2 * 20 * 14 * 16 + 4 * 12 * 14 * 16 + 8 * 3 * 28 * 32)
    labels = 3 * 40 * 28 * 32
    assert needed() == 0.45e9 + 0.04e9 + weights + one_patch + arrays + labels


def test_a_deeper_volume_needs_no_more_sums():
    deep, flat = (budget().bytes_to_predict((depth, 14, 16), (40, 28, 32)) for depth in (2000, 20))
    # the volume and its padded copy, 4 bytes each
    assert deep - flat == 2 * 4 * 1980 * 14 * 16


def test_every_fold_has_sums_and_weights_of_its_own():
    assert needed(n_folds=3) - needed() == 2 * (4 * 4 * 12 * 14 * 16 + 4 * 2 * 2000)


def test_probabilities_that_are_kept_count_twice_in_half_precision():
    assert needed(save_probabilities=True) - needed() == 2 * 2 * 3 * 20 * 14 * 16


def test_what_lies_on_a_gpu_does_not_count():
    patch = 12 * 14 * 16
    one_patch = 4 * (9 * (8 * patch + 16 * patch / 8) + 8 * 3 * patch)
    gpu = Runtime(torch.device("cuda"), False, "")
    assert needed() - needed(device=gpu) == pytest.approx(one_patch + 4 * 2 * 2000)


def more_with(**of_the_segmenter):
    """Bytes per voxel."""
    segmenter = dataclasses.replace(CONFIGURATION.segmenter, **of_the_segmenter)
    before, planned = budget(), dataclasses.replace(CONFIGURATION, segmenter=segmenter)
    after = dataclasses.replace(before, settings=dataclasses.replace(before.settings, configuration=planned))
    shapes = (20, 14, 16), (40, 28, 32)
    return (after.bytes_to_predict(*shapes) - before.bytes_to_predict(*shapes)) / (20 * 14 * 16)


def test_own_means_of_a_case_by_hand_and_measured():
    # the smoothed copy, the half-precision probabilities of 3 parts twice, and what is fitted: 3 parts, one channel
    assert more_with(own_means=True) == 16 + 4 + 2 * 2 * 3 + 6 * 8 * 4
    random = np.random.default_rng(0)
    volume, prior = random.random((1, 64, 64, 64), dtype=np.float32), random.random((3, 64, 64, 64))
    prior = prior.astype(np.float16)
    tracemalloc.start()
    divide_by_own_means(volume, prior, None, (0, 0, 0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # the copy and the probabilities lie outside
    assert peak < (16 + 6 * 8 * 4) * 64**3


def test_small_components_by_hand_and_measured():
    assert more_with(smallest_component=0.3) == 2 * 2 * 3 + 48
    assert more_with(own_means=True, smallest_component=0.3) == more_with(own_means=True) + 48
    random = np.random.default_rng(0)
    parts = random.integers(0, 3, (64, 64, 64)).astype(np.uint8)
    tracemalloc.start()
    absorb_small_components(parts, None, (0, 0, 0), 0.3, (1.0, 1.0, 1.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 48 * 64**3
