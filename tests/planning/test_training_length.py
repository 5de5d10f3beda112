from dataclasses import replace

import pytest
from made_fingerprint import make_description, make_fingerprint

from dd_nnunet.planning.plan_dataset import plan_dataset
from dd_nnunet.planning.presets import PRESETS, Budget
from dd_nnunet.planning.training_length import (
    bounded,
    cases_of_a_fold,
    iterations_of_a_pass,
    stretched,
)

KEPT = "kept is the epoch with the most living parts, of equal ones the surest"


def test_a_pass_by_hand():
    assert [cases_of_a_fold(n) for n in (1, 4, 5, 10, 11)] == [1, 4, 4, 8, 9]
    # 8 cases of 8 patches each, two at a time
    assert iterations_of_a_pass(10, (128, 128, 128), (64, 64, 64), 2) == 32
    # a volume smaller than a patch is drawn whole
    assert iterations_of_a_pass(10, (32, 32, 32), (64, 64, 64), 2) == 4


@pytest.mark.parametrize(
    ("one_pass", "iterations"), [(7, 100), (100, 100), (100.5, 101), (250, 250), (300, 300), (301, 300)]
)
def test_as_the_preset_says_or_one_pass_or_the_longest(one_pass, iterations):
    assert stretched(100, one_pass, replace(PRESETS["standard"], max_stretch=3)) == iterations


def planned(n_cases, edge, preset, **budget):
    fingerprint = make_fingerprint([(edge,) * 3] * n_cases, [(1.0, 1.0, 1.0)] * n_cases)
    plan = plan_dataset("Dataset001_Cells", fingerprint, make_description(), Budget(preset=preset, **budget))
    reasons = {d.name: d.because for d in plan.decisions if d.configuration in ("", "3d_fullres")}
    return plan.configuration("3d_fullres"), reasons


def test_small_data_gets_the_presets_length():
    plan, reasons = planned(10, 50, "standard")
    assert (plan.diffusion.iterations, plan.segmenter.iterations_per_epoch) == (20_000, 100)
    assert "longer" not in reasons["diffusion training"] + reasons["segmenter training"]


def test_large_data_is_trained_on_for_longer_and_the_plan_says_why():
    plan, reasons = planned(500, 400, "standard")
    n_patches = 400**3 / (plan.patch_size_zyx[0] * plan.patch_size_zyx[1] * plan.patch_size_zyx[2])
    one_pass = 400 * n_patches / plan.segmenter.batch_size
    assert 100 < plan.segmenter.iterations_per_epoch == min(-(-one_pass // 50), 400)
    assert "longer, to draw as many voxels as the training cases have" in reasons["segmenter training"]


def test_the_fast_preset_stays_fast():
    plan, reasons = planned(200, 400, "fast", fast_bf16=True)
    assert (plan.diffusion.iterations, plan.segmenter.iterations_per_epoch) == (1500, 50)
    assert reasons["segmenter training"] == "preset fast; 3 of the epochs are warm start; " + KEPT


@pytest.mark.parametrize(
    ("wished", "batch_voxels", "most", "iterations"),
    [(1500, 1000, None, 1500), (1500, 1000, 2_000_000, 1500), (1500, 1000, 999_999, 999), (50, 1000, 10, 1)],
)
def test_no_more_than_so_many_voxels(wished, batch_voxels, most, iterations):
    assert bounded(wished, batch_voxels, most) == iterations


def test_without_fast_bfloat16_patches_are_smaller_and_steps_fewer_and_the_plan_says_so():
    plan, reasons = planned(10, 64, "fast", fast_bf16=False)
    assert sorted(plan.patch_size_zyx) == [40, 40, 48]
    # batches of two patches of 76 800 voxels: 150 000 000 voxels in all, 90 000 000 in 16 epochs
    assert (plan.diffusion.batch_size, plan.diffusion.iterations) == (2, 976)
    segmenter = plan.segmenter
    assert (segmenter.epochs, segmenter.batch_size, segmenter.iterations_per_epoch) == (16, 2, 36)
    assert "shrunk to the 76800 voxels of preset fast without fast bfloat16" in reasons["patch size"]
    assert reasons["diffusion training"] == "preset fast; 1500 would take long without fast bfloat16"
    assert reasons["segmenter training"] == (
        "preset fast; 50 would take long without fast bfloat16; twice its epochs, as levels nest; "
        "3 of the epochs are warm start; " + KEPT
    )
    assert reasons["diffusion batch size"] == (
        "preset fast takes fewer of larger patches, but single float32 volumes are slow on a CPU"
    )


@pytest.mark.parametrize(("fast_bf16", "iterations"), [(True, 1500), (False, 1144)])
def test_small_patches_keep_their_batches_everywhere(fast_bf16, iterations):
    plan, _ = planned(10, 32, "fast", fast_bf16=fast_bf16)
    # 150 000 000 voxels in batches of four patches of 32 768
    assert (plan.diffusion.batch_size, plan.diffusion.iterations) == (4, iterations)
    assert (plan.segmenter.batch_size, plan.segmenter.iterations_per_epoch) == (2, 50)


def test_other_presets_are_as_long_in_float32():
    for preset in ("standard", "paper"):
        slow, fast = (planned(10, 64, preset, fast_bf16=fast_bf16)[0] for fast_bf16 in (False, True))
        assert slow.diffusion.iterations == fast.diffusion.iterations
        assert slow.segmenter.iterations_per_epoch == fast.segmenter.iterations_per_epoch
