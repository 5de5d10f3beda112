from dataclasses import replace

import numpy as np
import pytest
from golden_plans import CELLS, GOLDEN, PLANS, golden_path, plan_text
from made_fingerprint import make_case, make_channel, make_description, make_fingerprint
from small_volumes import volume_of

from dd_nnunet.commands.planning_flags import DEFAULT_PRESET, DEPARTURE_NAMES, PRESET_NAMES
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.json_record import parse_json, record_from_json, record_to_json
from dd_nnunet.core.plan import Decision, Plan
from dd_nnunet.planning.fingerprinting import fingerprint_case, merge_fingerprints
from dd_nnunet.planning.networks import RELEASED_CHANNELS
from dd_nnunet.planning.plan_dataset import plan_dataset
from dd_nnunet.planning.presets import DEPARTURES, PRESETS, Budget
from dd_nnunet.planning.reasons import format_decisions


def plan_cells(description=None, **budget):
    plan = plan_dataset("Dataset001_Cells", CELLS, description or make_description(), Budget(**budget))
    return plan, plan.configuration("3d_fullres")


def reason(plan, name):
    (decision,) = [d for d in plan.decisions if d.name == name]
    return decision


@pytest.mark.parametrize("name", PLANS)
def test_golden_plan(name):
    """A changed rule shows here; if it is meant, run golden_plans.py and look at the difference."""
    assert plan_text(name) == golden_path(name).read_text(encoding="utf-8")


def test_no_golden_plan_is_left_over():
    assert {path.name for path in GOLDEN.glob("plan_*.json")} == {golden_path(name).name for name in PLANS}


@pytest.mark.parametrize("name", PLANS)
def test_json_round_trip(name):
    plan = record_from_json(Plan, parse_json(plan_text(name), "plan"), "plan")
    assert record_to_json(plan) == parse_json(plan_text(name), "plan")


def test_cells_get_the_papers_diagonal():
    _, configuration = plan_cells(preset="paper")
    assert [(level.n_parts, level.stages) for level in configuration.levels] == [
        (2, (1,)),
        (4, (2,)),
        (8, (3,)),
    ]
    assert [configuration.diffusion.stage_reduction_zyx(stage)[0] for stage in (1, 2, 3)] == [8, 4, 2]


def test_parts_come_from_the_flag_then_from_the_dataset_then_from_the_fingerprint():
    description = make_description(parts={"level1": 3, "level2": 5})
    plan, configuration = plan_cells(description, parts=(6,))
    assert [level.n_parts for level in configuration.levels] == [6]
    assert reason(plan, "parts per level").because == "given with --parts"
    plan, configuration = plan_cells(description)
    assert [level.n_parts for level in configuration.levels] == [3, 5]
    assert reason(plan, "parts per level").because == "given in dataset.json"
    assert [level.children for level in configuration.levels] == [(), ()]
    plan, configuration = plan_cells()
    assert [(level.n_parts, level.children) for level in configuration.levels] == [(2, (2,)), (3, (1, 2))]
    assert reason(plan, "parts per level") == Decision(
        "parts per level",
        "2 3",
        "measured: level 1 splits the volume in 2 (gain 0.63 against 0.01 of surrogates, 100 of 100 cases); "
        "level 2 splits part 1 in 2 (gain 0.12 against -0.01 of surrogates, 100 of 100 cases)",
    )


def test_parts_may_not_get_fewer_with_depth():
    with pytest.raises(UserError, match="4 2 get fewer with depth"):
        Budget(parts=(4, 2))
    with pytest.raises(UserError, match=r"dataset.json: parts: 4 2 get fewer with depth"):
        plan_cells(make_description(parts={"level1": 4, "level2": 2}))


@pytest.mark.parametrize(
    ("level", "children", "words"),
    [
        (1, [1, 1, 2], "children of level 2 are 1 1 2; each at least 1, together n_parts = 3"),
        (1, [0, 3], "children of level 2 are 0 3; each at least 1"),
        (1, [3], r"level 2 has 1 children; one per part before it \(2\), or none"),
        (0, [1, 1], r"level 1 has 2 children; one per part before it \(1\), or none"),
    ],
)
def test_children_that_do_not_add_up_are_refused(level, children, words):
    plan, _ = plan_cells()
    data = record_to_json(plan)
    data["configurations"]["3d_fullres"]["levels"][level]["children"] = children
    with pytest.raises(UserError, match=words):
        record_from_json(Plan, data, "plan")


def test_children_need_not_be_stated():
    plan, _ = plan_cells()
    data = record_to_json(plan)
    for level in data["configurations"]["3d_fullres"]["levels"]:
        del level["children"]
    levels = record_from_json(Plan, data, "plan").configuration("3d_fullres").levels
    assert [(level.n_parts, level.children) for level in levels] == [(2, ()), (3, ())]


def test_precision_follows_the_machine_and_says_so():
    plan, configuration = plan_cells(fast_bf16=False, hardware="this CPU (Old)")
    assert configuration.precision == "float32"
    assert reason(plan, "precision").because == "this CPU (Old) has no bfloat16 instructions"
    plan, configuration = plan_cells(fast_bf16=True, hardware="the NVIDIA GPU")
    assert configuration.precision == "bfloat16"
    assert "the NVIDIA GPU computes bfloat16 fast" in reason(plan, "precision").because


def test_the_user_may_set_the_spacing():
    plan, configuration = plan_cells(target_spacing_zyx_mm=(2.0, 2.0, 2.0))
    assert configuration.spacing_zyx_mm == (2.0, 2.0, 2.0)
    assert configuration.median_shape_zyx == (25, 25, 25)
    assert reason(plan, "target spacing") == Decision(
        "target spacing", "2 x 2 x 2 mm", "given with -overwrite_target_spacing"
    )


def test_several_channels_reach_the_networks():
    fingerprint = make_fingerprint([(50, 50, 50)], [(1.0,) * 3], channels=(make_channel(),) * 3)
    plan = plan_dataset("D", fingerprint, make_description(("a", "b", "c")), Budget())
    assert len(plan.configuration("3d_fullres").normalization) == 3


def test_one_pass_of_the_paper_preset_is_four_fifths_of_the_cases():
    _, configuration = plan_cells(preset="paper")
    # 80 of 100 cases, two at a time
    assert configuration.segmenter.iterations_per_epoch == 40


def test_without_measured_diameters_the_stages_still_get_finer():
    fingerprint = make_fingerprint([(50, 50, 50)] * 3, [(1.0,) * 3] * 3, diameters_mm=())
    plan = plan_dataset("D", fingerprint, make_description(), Budget(parts=(2, 4, 8)))
    assert [level.stages for level in plan.configuration("3d_fullres").levels] == [(1,), (1,), (2,)]
    assert "50 mm (the volume's; no object stood out)" in reason(plan, "stage of level 1").because
    assert "25 mm (half of the level before)" in reason(plan, "stage of level 2").because


def test_the_command_knows_all_presets():
    assert set(PRESET_NAMES) == set(PRESETS)
    assert tuple(DEPARTURES) == DEPARTURE_NAMES
    assert Budget().preset == DEFAULT_PRESET


@pytest.mark.parametrize(
    "wrong",
    [
        {"preset": "best"},
        {"gpu_memory_target_gb": 0.0},
        {"parts": (1, 2)},
        {"parts": (2, 257)},
        {"target_spacing_zyx_mm": (1, 0, 1)},
        {"preset": "paper", "as_released": ("resize128",)},
        {"preset": "fast", "as_released": ("resize64",)},
    ],
)
def test_wrong_budgets_are_refused(wrong):
    with pytest.raises(UserError):
        Budget(**wrong)


def test_decisions_are_shown_in_80_columns():
    plan, _ = plan_cells()
    shown = format_decisions(plan.decisions)
    assert max(map(len, shown.splitlines())) <= 80
    assert all(decision.because for decision in plan.decisions)
    assert shown.startswith(
        "preset                  standard\n"
        "                          hours on one GPU\n"
        "target spacing          1 x 1 x 1 mm\n"
        "                          median over 100 cases\n"
    )


def test_the_papers_settings():
    """Section by section: documentation/explanation/paper-settings.md."""
    plan, configuration = plan_cells(preset="paper", gpu_memory_target_gb=80.0)
    diffusion, features, segmenter = configuration.diffusion, configuration.features, configuration.segmenter
    assert (plan.planner, diffusion.n_timesteps, diffusion.channels) == ("paper", 250, (64, 128, 256, 512))
    assert (diffusion.batch_size, diffusion.iterations, diffusion.learning_rate) == (4, 50_000, 1e-4)
    assert (diffusion.recipe, diffusion.ema_decay, diffusion.grid_zyx) == ("plain", 0.0, None)
    assert (features.timesteps, features.n_draws, features.scaling, features.n_components) == (
        (25,),
        1,
        "none",
        0,
    )
    assert features.visual_target == "image"
    assert (segmenter.epochs, segmenter.learning_rate, segmenter.warm_start_epochs) == (100, 3e-4, 0)
    assert (segmenter.feature_weight, segmenter.visual_weight, segmenter.invariance_weight) == (1, 1, 1)
    assert (segmenter.gamma_range, segmenter.scale_free, segmenter.anchor_weight) == ((0.9, 1.1), False, 0)
    assert (segmenter.recipe, segmenter.kept_epoch, segmenter.invariance) == ("plain", "certain", "squares")
    assert (configuration.crop, configuration.normalization[0].scheme) == (False, "min_max")
    assert configuration.patch_size_zyx == (56, 56, 56)


def test_in_the_paper_level_l_is_fed_by_stage_l_whatever_was_measured():
    fingerprint = make_fingerprint([(50, 50, 50)] * 3, [(1.0,) * 3] * 3, diameters_mm=(4.0,))
    plan = plan_dataset("D", fingerprint, make_description(), Budget(preset="paper", parts=(2, 3, 4, 5, 6)))
    assert [level.stages for level in plan.configuration("3d_fullres").levels] == [
        (1,),
        (2,),
        (3,),
        (4,),
        (4,),
    ]


def test_the_papers_volumes_are_not_cropped():
    case = make_case(0, (50, 50, 50), crop_start_zyx=(10, 10, 10), crop_stop_zyx=(40, 40, 40))
    fingerprint = replace(make_fingerprint([(50,) * 3], [(1.0,) * 3]), cases=(case,))
    for preset, shape in (("paper", (50, 50, 50)), ("standard", (30, 30, 30))):
        plan = plan_dataset("D", fingerprint, make_description(), Budget(preset=preset))
        assert plan.configuration("3d_fullres").median_shape_zyx == shape


def test_stages_may_be_given():
    # K = 3 on stage 2, as the paper has it for FLAIR
    for preset in ("paper", "standard"):
        plan, configuration = plan_cells(preset=preset, parts=(3,), stages=(2,))
        assert [(level.n_parts, level.stages) for level in configuration.levels] == [(3, (2,))]
        decision = reason(plan, "stage of level 1")
        assert (decision.value, decision.because) == ("2 of 4", "given with --stages")


@pytest.mark.parametrize(
    ("stages", "fault"), [((2,), "one stage per level"), ((0, 1), "1–4"), ((1, 5), "1–4")]
)
def test_wrong_stages_are_refused(stages, fault):
    with pytest.raises(UserError) as caught:
        plan_cells(parts=(2, 4), stages=stages)
    assert "--stages" in str(caught.value) and fault in str(caught.value)


def test_each_departure_changes_its_own_entry_only():
    _, paper = plan_cells(preset="paper", gpu_memory_target_gb=80.0)
    planned = {
        name: plan_cells(preset="paper", gpu_memory_target_gb=80.0, as_released=(name,))[1]
        for name in DEPARTURES
    }
    assert planned["resize64"].diffusion == replace(paper.diffusion, grid_zyx=(64, 64, 64))
    assert planned["resize64"].segmenter == paper.segmenter
    for name, field in (
        ("sampling_grids", {"feature_grid": "corners"}),
        ("no_squares", {"invariance": "masks"}),
    ):
        assert planned[name] == replace(paper, segmenter=replace(paper.segmenter, **field))
    small = planned["small_segmenter"]
    assert small.diffusion == paper.diffusion
    assert (small.segmenter.features_per_stage, small.segmenter.inner_multiple) == (RELEASED_CHANNELS, 16)
    assert (small.segmenter.norm, small.segmenter.dropout) == ("batch", 0.2)
    # halved at every other convolution: 48 -> 24 -> 12 -> 6
    assert [stride[0] for stride in small.segmenter.strides_zyx] == [1, 2, 1, 2, 1, 2, 1]


def test_where_both_networks_resize_the_patch_is_the_volume():
    plan, configuration = plan_cells(preset="paper", as_released=tuple(DEPARTURES), gpu_memory_target_gb=80.0)
    assert configuration.patch_size_zyx == (50, 50, 50)
    assert configuration.volume_multiple_zyx == (1, 1, 1)
    assert reason(plan, "as in the released code").value == " ".join(DEPARTURES)
    assert record_from_json(Plan, record_to_json(plan), "plan") == plan


def test_the_resized_volumes_network_does_not_depend_on_the_patch():
    fingerprint = make_fingerprint([(16, 16, 16)] * 3, [(1.0,) * 3] * 3)
    budget = Budget(preset="paper", as_released=("resize64",), gpu_memory_target_gb=80.0)
    diffusion = (
        plan_dataset("D", fingerprint, make_description(), budget).configuration("3d_fullres").diffusion
    )
    assert (diffusion.channels, diffusion.strides_zyx) == ((64, 128, 256, 512), ((2, 2, 2),) * 3)


def test_a_grid_that_does_not_fit_is_refused():
    _, configuration = plan_cells(preset="paper", as_released=("resize64",), gpu_memory_target_gb=80.0)
    with pytest.raises(ValueError, match=r"grid_zyx\[1\] is 60; must be a multiple of 8"):
        replace(configuration.diffusion, grid_zyx=(64, 60, 64))
    with pytest.raises(ValueError, match=r"patch_size_zyx\[0\] is 50; must be a multiple of 8"):
        replace(configuration, patch_size_zyx=(50, 56, 56))
    with pytest.raises(ValueError, match='"image" only'):
        replace(configuration, features=replace(configuration.features, visual_target="denoised"))


@pytest.mark.parametrize("thick", [8.0, 10.0, 12.0])
def test_thick_slices_are_planned_for_three_levels(thick):
    shape, spacing = (10, 96, 96), (thick, 1.0, 1.0)
    grid = np.indices(shape)
    distance = sum(((g - n / 2) * s) ** 2 for g, n, s in zip(grid, shape, spacing, strict=True)) ** 0.5
    volume = 100.0 * (distance < 30) + np.random.default_rng(0).normal(0, 30, shape)
    case = fingerprint_case(volume_of(volume.astype(np.float32), spacing), "a")
    fingerprint = merge_fingerprints([case], "here")
    plan = plan_dataset("Dataset001_Thick", fingerprint, make_description(), Budget(parts=(2, 4, 8)))
    stages = [level.stages[0] for level in plan.configurations["3d_fullres"].levels]
    assert stages == sorted(stages) and len(stages) == 3
