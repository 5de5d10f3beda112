import pytest
from golden_plans import CELLS, GOLDEN, PLANS, golden_path, plan_text
from made_fingerprint import make_description, make_fingerprint

from dd_nnunet.commands.planning_flags import DEFAULT_PRESET, PRESET_NAMES
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.json_record import parse_json, record_from_json, record_to_json
from dd_nnunet.core.plan import Decision, Plan
from dd_nnunet.planning.plan_dataset import plan_dataset
from dd_nnunet.planning.presets import PRESETS, Budget
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


def test_every_channel_has_its_normalization():
    _, configuration = plan_cells(make_description(("a", "b", "c")))
    assert len(configuration.normalization) == 3


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
    assert Budget().preset == DEFAULT_PRESET


@pytest.mark.parametrize(
    "wrong",
    [
        {"preset": "best"},
        {"gpu_memory_target_gb": 0.0},
        {"parts": (1, 2)},
        {"target_spacing_zyx_mm": (1, 0, 1)},
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
