import itertools
import shutil
from pathlib import Path

import paper_plans
import pytest
from paper_bench import Bench
from paper_data import EFFORTS, REGULAR32
from paper_plans import edit_plan, lengths_of, make_plan, missing_part, plan_sha256
from paper_rows import LADDER, PAPER_SETTINGS, TABLES
from running import Commands

from dd_nnunet.core.errors import UserError
from dd_nnunet.core.plan import Plan
from dd_nnunet.storage.atomic import read_json, read_record, write_json

GOLDENS = Path(__file__).parents[1] / "golden"
GOLDEN = GOLDENS / "plan_gallery_regular.json"
PAPERS = GOLDENS / "plan_cells_paper.json"
VARIANTS = {variant.name: variant for table in TABLES for variant in table.variants}


def planned(tmp_path, variant):
    path = tmp_path / f"{variant.name}.json"
    edit_plan(GOLDEN, path, variant.edits or {})
    return read_record(Plan, path)


@pytest.mark.parametrize("name", [name for name, variant in VARIANTS.items() if not variant.flags])
def test_every_line_is_a_plan(tmp_path, name):
    assert planned(tmp_path, VARIANTS[name]).plans_name == name


def test_names_of_lines_are_told_apart():
    for table in TABLES:
        names = [variant.name for variant in table.variants] + list(table.baselines)
        assert len(names) == len(set(names))
    # what stands in several tables under one name is one line
    for table in TABLES:
        assert all(VARIANTS[variant.name] == variant for variant in table.variants)


def differing(before, after):
    """Keys of a plan's parts that the one does not have as the other has them."""
    found = set()
    for part in ("diffusion", "features", "segmenter", "objects"):
        old, new = getattr(before, part), getattr(after, part)
        found |= (
            {f"{part}.{key}" for key, value in vars(new).items() if value != getattr(old, key, None)}
            if new
            else set()
        )
    return found


def test_each_step_of_the_ladder_changes_one_thing(tmp_path):
    plans = [planned(tmp_path, variant).configuration("3d_fullres") for variant in LADDER[1:]]
    first, last = plans[0], plans[-1]
    assert (first.features.timesteps, first.features.n_draws, first.features.scaling) == ((25,), 1, "none")
    assert (first.segmenter.scale_free, first.segmenter.anchor_weight, first.segmenter.nested) == (
        False,
        0,
        False,
    )
    assert first.objects is None and first.segmenter.epochs == 8
    changed = [differing(before, after) for before, after in itertools.pairwise(plans)]
    assert changed == [
        {"segmenter.scale_free"},
        {"features.scaling", "features.n_components"},
        {"features.timesteps", "features.n_draws"},
        {"features.visual_target"},
        {"segmenter.warm_start_epochs", "segmenter.anchor_weight"},
        {"segmenter.nested", "segmenter.epochs"},
        {"objects.n_parts", "objects.smallest_mm", "objects.anchor_weight", "objects.second_pass"},
        {"objects.second_pass"},
    ]
    assert not plans[-2].objects.second_pass
    assert last == read_record(Plan, GOLDEN).configuration("3d_fullres")


# of the paper's settings: what both networks are trained with, beside the cells that were planned at 50³
SMALL = ([16, 32, 64, 128], 2, 976, 3e-4), ([16, 32, 64, 128], 2, 8, 36, 3e-3)
STANDARD = ([32, 64, 128, 256], 4, 20_000, 2e-4), ([32, 64, 128, 256], 2, 50, 100, 3e-4)
PAPERS_OWN = ([64, 128, 256, 512], 4, 50_000, 1e-4), ([32, 64, 128, 256], 2, 100, 40, 3e-4)
# and of ours, whose network of all levels is trained for twice as many epochs
OURS_SMALL = ([16, 32, 64, 128], 2, 976, 3e-4), ([16, 32, 64, 128], 2, 16, 36, 3e-3)
OURS_STANDARD = ([32, 64, 128, 256], 4, 20_000, 2e-4), ([32, 64, 128, 256], 2, 100, 100, 3e-4)
OURS_FULL = ([64, 128, 256, 512], 4, 50_000, 1e-4), ([32, 64, 128, 256], 2, 200, 100, 3e-4)


def lengths(path):
    """Of both networks, as the plan has them."""
    plan = read_json(path)["configurations"]["3d_fullres"]
    diffusion, segmenter = plan["diffusion"], plan["segmenter"]
    return (
        tuple(diffusion[key] for key in ("channels", "batch_size", "iterations", "learning_rate")),
        tuple(
            segmenter[key]
            for key in ("features_per_stage", "batch_size", "epochs", "iterations_per_epoch", "learning_rate")
        ),
    )


@pytest.mark.parametrize(
    ("name", "of_paper", "of_ours"),
    [("cpu-small", SMALL, OURS_SMALL), ("gpu", STANDARD, OURS_STANDARD), ("full", PAPERS_OWN, OURS_FULL)],
)
def test_lengths_of_the_papers_settings_and_ours_in_every_effort(tmp_path, name, of_paper, of_ours):
    effort = EFFORTS[name]
    ours, paper, apart = (tmp_path / f"{plan}.json" for plan in ("ours", "paper", "step-warm-start"))
    edit_plan(GOLDENS / f"plan_cells_{effort.preset}.json", ours, effort.lengths or {})
    edit_plan(PAPERS, paper, lengths_of(effort, ours, PAPERS))
    assert (lengths(paper), lengths(ours)) == (of_paper, of_ours)
    found = read_record(Plan, paper).configuration("3d_fullres")
    assert (found.features.timesteps, found.segmenter.nested, found.diffusion.ema_decay) == ((25,), False, 0)
    # a line of ours without nesting is trained for the paper's number of epochs
    edit_plan(ours, apart, VARIANTS["step-warm-start"].edits)
    assert lengths(apart)[1][2] == of_paper[1][2]


def test_the_networks_of_the_released_code_stay_its_own(tmp_path):
    released = read_json(PAPERS)
    released["configurations"]["3d_fullres"]["segmenter"]["inner_multiple"] = 16
    write_json(tmp_path / "released.json", released)
    found = lengths_of(EFFORTS["cpu-small"], GOLDEN, tmp_path / "released.json")
    assert ("segmenter", "features_per_stage") not in found and found["segmenter", "epochs"] == 8


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """One whose planner copies golden plans, and prepares nothing."""
    bench = Bench(tmp_path, "cpu-small")
    (tmp_path / "raw" / REGULAR32.folder).mkdir(parents=True)
    folders = bench.folders(REGULAR32, 0)
    folders.preprocessed.mkdir(parents=True)

    def run(commands, module, *arguments, function="main"):
        if function == "main":
            name = arguments[arguments.index("-overwrite_plans_name") + 1]
            golden = PAPERS if "paper" in arguments else GOLDEN
            write_json(folders.plans_json(name), read_json(golden) | {"plans_name": name})
        return 1.0

    monkeypatch.setattr(Commands, "run", run)
    return bench


@pytest.mark.parametrize("variant", [VARIANTS["ours"], PAPER_SETTINGS], ids=["ours", "paper"])
def test_a_plan_that_was_not_edited_to_its_end_is_made_again(bench, monkeypatch, variant):
    folders = bench.folders(REGULAR32, 0)

    def killed(source, target, edits):
        if target.stem == variant.name:
            raise KeyboardInterrupt
        edit_plan(source, target, edits)

    monkeypatch.setattr(paper_plans, "edit_plan", killed)
    with pytest.raises(KeyboardInterrupt):
        make_plan(bench, REGULAR32, variant)
    assert not folders.plans_json(variant.name).exists()
    monkeypatch.setattr(paper_plans, "edit_plan", edit_plan)
    assert make_plan(bench, REGULAR32, variant)
    made = read_record(Plan, folders.plans_json(variant.name))
    assert (
        made.plans_name == variant.name and made.configuration("3d_fullres").diffusion.iterations == 976 // 2
    )
    assert not list(folders.preprocessed.glob("draft-*"))


def test_edits_that_leave_no_plan_leave_no_file(tmp_path):
    target = tmp_path / "bad.json"
    with pytest.raises(UserError, match="epochs"):
        edit_plan(GOLDEN, target, {("segmenter", "epochs"): 0})
    assert not target.exists() and not list(tmp_path.iterdir())


def test_a_line_about_objects_is_left_out_where_none_are_planned(bench, capsys):
    folders = bench.folders(REGULAR32, 0)
    assert missing_part(GOLDEN, VARIANTS["step-objects"].edits) is None
    edit_plan(GOLDEN, folders.plans_json("ours"), {("objects", ""): None})
    assert not make_plan(bench, REGULAR32, VARIANTS["step-objects"])
    told = "regular32: step-objects is left out: our plan of these data has no objects"
    assert told in capsys.readouterr().out
    assert not folders.plans_json("step-objects").exists()
    assert make_plan(bench, REGULAR32, VARIANTS["step-nested"])


def test_a_plans_hash_is_of_what_it_trains(tmp_path):
    path = tmp_path / "ours.json"
    shutil.copy(GOLDEN, path)
    before = plan_sha256(path)
    edit_plan(GOLDEN, path, {("estimated_gpu_memory_gb", ""): 0.7})
    assert plan_sha256(path) == before
    edit_plan(GOLDEN, path, {("features", "n_draws"): 3})
    assert plan_sha256(path) != before
    # plans of former days, which do not say all of it
    plan = read_json(GOLDEN)
    del plan["configurations"]["3d_fullres"]["segmenter"]["dropout"]
    write_json(path, plan)
    assert plan_sha256(path) == before
