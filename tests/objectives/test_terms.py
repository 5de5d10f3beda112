"""Photometric invariance (Eq. 8), the denoising loss and the total (Eq. 4)."""

import dataclasses

import pytest
import torch

from dd_nnunet.core.plan import SegmenterPlan
from dd_nnunet.objectives.consistency import represent_voxels
from dd_nnunet.objectives.denoising import denoising_loss
from dd_nnunet.objectives.discovery import discovery_loss
from dd_nnunet.objectives.invariance import (
    gamma_transform,
    photometric_invariance,
    photometric_invariance_of_sums,
)

PLAN = SegmenterPlan(
    features_per_stage=(4, 8), strides_zyx=((1, 1, 1), (2, 2, 2)), kernel_sizes_zyx=((3, 3, 3), (3, 3, 3)),
    n_convs_per_stage=1, batch_size=1, epochs=1, iterations_per_epoch=1, warm_start_epochs=0, learning_rate=1e-3,
    feature_weight=2.0, visual_weight=3.0, invariance_weight=5.0, scale_free=False, gamma_range=(0.9, 1.1),
)  # fmt: skip


def test_invariance_of_equal_masks_is_zero() -> None:
    masks = torch.tensor([0.3, 0.7, 1e-6, 1 - 1e-6]).reshape(1, 2, 2, 1, 1)
    assert float(photometric_invariance(masks, masks)) == pytest.approx(0, abs=1e-6)


def test_invariance_by_hand() -> None:
    # part 0: 2·(1·0 + 0·1) / (1 + 1) = 0; part 1 the same: loss 1. Half-sure copy: 2·0.5 / (1 + 0.5) = 2/3
    sure = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).reshape(1, 2, 2, 1, 1)
    assert float(photometric_invariance(sure, sure.flip(1))) == pytest.approx(1, abs=1e-5)
    half = torch.full_like(sure, 0.5)
    assert float(photometric_invariance(sure, half)) == pytest.approx(1 - 2 / 3, abs=1e-5)


def test_gamma_is_per_image() -> None:
    image = torch.full((2, 1, 1, 1, 1), 0.25)
    changed = gamma_transform(image, torch.tensor([0.5, 2.0]))
    assert changed.flatten().tolist() == pytest.approx([0.5, 0.0625])


def test_denoising_loss_is_the_mean_absolute_difference() -> None:
    prediction = torch.tensor([1.0, 2.0, 0.0, 0.0]).reshape(2, 1, 2, 1, 1)
    assert denoising_loss(prediction, torch.zeros_like(prediction)).tolist() == [1.5, 0]


def test_total_is_the_weighted_sum() -> None:
    h = represent_voxels(torch.tensor([0.0, 0.0, 1.0, 3.0]).reshape(1, 1, 1, 1, 4))
    first = torch.tensor([1.0, 1.0, 0.0, 0.0])
    masks = torch.stack((first, 1 - first)).reshape(1, 2, 1, 1, 4)
    twice = represent_voxels(torch.tensor([0.0, 0.0, 2.0, 6.0]).reshape(1, 1, 1, 1, 4))
    loss = discovery_loss(masks, masks, [h, twice], h, PLAN)
    # of h it is 0.5 (see test_consistency), of twice h 2, of both stages 1.25; invariance 0: 2 · 1.25 + 3 · 0.5
    assert float(loss.total) == pytest.approx(4, abs=1e-5)
    assert float(loss.named()["visual"]) == pytest.approx(0.5)
    free = discovery_loss(masks, masks, [h], h, dataclasses.replace(PLAN, scale_free=True))
    assert float(free.feature) == pytest.approx(1 / 3, abs=1e-6)


def test_invariance_of_sums_against_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    masks, transformed = (torch.randn(2, 3, 2, 2, 2, generator=generator).softmax(dim=1) for _ in range(2))
    loss = photometric_invariance_of_sums(masks, transformed)
    for b in range(2):
        terms = []
        for k in range(3):
            pairs = list(
                zip(masks[b, k].flatten().tolist(), transformed[b, k].flatten().tolist(), strict=True)
            )
            terms.append(2 * sum(f * g for f, g in pairs) / sum(f + g for f, g in pairs))
        assert float(loss[b]) == pytest.approx(1 - sum(terms) / 3, abs=1e-5)


def test_without_squares_unsure_and_empty_parts_cost_something() -> None:
    half = torch.full((1, 2, 1, 1, 4), 0.5)
    assert float(photometric_invariance(half, half)) == pytest.approx(0, abs=1e-6)
    assert float(photometric_invariance_of_sums(half, half)) == pytest.approx(0.5, abs=1e-5)
    # a part of 1e-6 everywhere in 50³ voxels, beside one that is sure: its term is 1.00, or 0.00 under Eq. 8
    empty = torch.full((1, 1, 50, 50, 50), 1e-6)
    masks = torch.cat((empty, 1 - empty), dim=1)
    assert float(photometric_invariance_of_sums(masks, masks)) == pytest.approx(0.5, abs=1e-3)
    assert float(photometric_invariance(masks, masks)) == pytest.approx(0, abs=1e-3)


def test_the_plan_says_which_invariance() -> None:
    h = represent_voxels(torch.tensor([0.0, 0.0, 1.0, 3.0]).reshape(1, 1, 1, 1, 4))
    half = torch.full((1, 2, 1, 1, 4), 0.5)
    plan = dataclasses.replace(PLAN, invariance="masks")
    assert float(discovery_loss(half, half, [h], h, plan).invariance) == pytest.approx(0.5, abs=1e-5)
    assert float(discovery_loss(half, half, [h], h, PLAN).invariance) == pytest.approx(0, abs=1e-5)


def test_invariance_asked_in_every_fourth_step_is_the_same_in_the_mean() -> None:
    h = represent_voxels(torch.tensor([0.0, 0.0, 1.0, 3.0]).reshape(1, 1, 1, 1, 4))
    first = torch.tensor([1.0, 1.0, 0.0, 0.0])
    masks = torch.stack((first, 1 - first)).reshape(1, 2, 1, 1, 4)
    changed = masks.flip(1)
    every = dataclasses.replace(PLAN, invariance_interval=1)
    fourth = dataclasses.replace(PLAN, invariance_interval=4)
    # wholly exchanged masks: L_inv = 1, asked once in four steps with weight 4
    steps = [discovery_loss(masks, twin, [h], h, fourth) for twin in (changed, None, None, None)]
    assert [float(step.invariance) for step in steps] == pytest.approx([4, 0, 0, 0], abs=1e-5)
    always = discovery_loss(masks, changed, [h], h, every)
    assert sum(float(step.total) for step in steps) / 4 == pytest.approx(float(always.total), abs=1e-5)
