import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import paper_page
import paper_rows
import paper_tables
import pytest
from paper_criteria import criteria_table
from paper_rows import EFFORTS, LADDER, TABLES, Cells, Table
from paper_tables import Bench, edit_plan

from dd_nnunet.core.plan import Plan
from dd_nnunet.storage.atomic import read_json, read_record, write_json

GOLDEN = Path(__file__).parents[1] / "golden" / "plan_gallery_regular.json"
VARIANTS = {variant.name: variant for table in TABLES for variant in table.variants}


def planned(tmp_path, variant):
    path = tmp_path / f"{variant.name}.json"
    shutil.copy(GOLDEN, path)
    edit_plan(path, variant.edits or {}, variant.name)
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


def run_of(scores, seconds=60.0, **more):
    """A run with these `hsu` scores of two images at level 1."""
    images = {
        f"cell_{i}": {"hsu": score, "strict": {"0": score, "1": None}, "hd95_mm": {}}
        for i, score in enumerate(scores)
    }
    level = {
        "hsu": float(np.mean(scores)), "strict": 0.5, "foreground": 0.5, "hd95_mm": 2.0, "violation_rate": 0.01,
        "per_image": images,
    }  # fmt: skip
    machine = {"cpu": "a CPU", "threads": 2, "torch": "2.13.0"}
    return {"levels": {"1": level}, "seconds": seconds, "machine": machine, **more}


def test_the_page_by_hand(tmp_path):
    write_json(
        tmp_path / "regular50" / "ours.json",
        {"runs": {"seed 0, fold 0": run_of((0.9, 0.8)), "seed 1, fold 0": run_of((0.8, 0.7), 180.0)}},
    )
    write_json(
        tmp_path / "regular50" / "kmeans.json",
        {"runs": {"seed 0, fold 0": run_of((0.7, 0.7), collapsed=["level1"])}},
    )
    page = paper_page.page(tmp_path, "cpu-small")
    assert "regular, 50³, 80 training and 20 test cells" in page and "irregular" not in page
    # means 0.85 and 0.75; images 0.85 and 0.75 over the seeds
    assert "| dd_nnunet, as planned | **0.800** ± 0.071 [0.750, 0.850] | **0.500**" in page
    assert "| kmeans | 0.700 [0.700, 0.700] |" in page
    assert "| *the paper, published* | 0.986 | – | |" in page
    assert "- dd_nnunet, as planned: 2.0 min a run, nesting violated by 1.0 % of the voxels" in page
    assert "- kmeans: 1.0 min a run, 1 of 1 runs collapsed" in page
    assert "- on a CPU, 2 threads, torch 2.13.0" in page


def test_criteria_are_ranked_against_dice_over_all_runs(tmp_path):
    def end(certainty, contrast):
        criteria = {
            "explained_visual": 0.5, "explained_features": 0.5, "boundary_contrast": contrast,
            "mirror_agreement": 0.5, "gamma_agreement": 0.5,
        }  # fmt: skip
        return {"part_shares": [0.5, 0.5], "mean_max_probability": certainty, "criteria": criteria}

    for number in range(8):
        run = run_of((0.5,)) | {
            "finished": {"diffusion": {}, "levels": {"levels": {"1": end(1 - number / 10, number)}}}
        }
        run["levels"]["1"]["strict"] = number / 10
        write_json(tmp_path / f"line{number}.json", {"runs": {"seed 0, fold 0": run}})
    write_json(tmp_path / "kmeans.json", {"runs": {"seed 0, fold 0": run_of((0.9,))}})
    table = criteria_table(tmp_path)
    assert "| criterion | level 1 (8 runs) |" in table
    assert "| certainty (the paper's) | -1.00 |" in table
    assert "| contrast across outlines | 1.00 |" in table
    # a criterion that never differs has no rank
    assert "| agreement with a mirrored copy | – |" in table
    (tmp_path / "line0.json").unlink()
    assert criteria_table(tmp_path) == ""


def test_seeds_are_averaged_over_folds_by_their_images():
    row = {"runs": {"seed 0, fold 0": run_of((0.9,)), "seed 0, fold 1": run_of((0.6, 0.6))}}
    assert paper_page._by_seed(row, "1", "hsu") == {"seed 0": pytest.approx(0.7)}


def test_the_papers_settings_take_over_lengths_and_no_more(tmp_path):
    ours, other = tmp_path / "ours.json", tmp_path / "paper.json"
    shutil.copy(GOLDEN, ours)
    shutil.copy(GOLDEN.with_name("plan_cells_paper.json"), other)
    found = paper_tables._lengths_of(ours, other)
    given = read_json(ours)["configurations"]["3d_fullres"]
    assert found["diffusion", "channels"] == [16, 32, 64, 128]
    assert found["diffusion", "iterations"] == given["diffusion"]["iterations"]
    # the network of three levels is trained for twice the epochs of one
    assert (given["segmenter"]["epochs"], found["segmenter", "epochs"]) == (16, 8)
    edit_plan(other, found)
    assert read_record(Plan, other).configuration("3d_fullres").features.timesteps == (25,)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_table_is_made_and_goes_on_where_it_stopped(tmp_path, monkeypatch, capfd):
    tiny = Cells(940, "regular", 24, 4, 2)
    lengths = {
        ("diffusion", "channels"): (4, 8, 16),
        ("diffusion", "iterations"): 2,
        ("segmenter", "iterations_per_epoch"): 2,
        ("segmenter", "epochs"): 4,
        ("segmenter", "warm_start_epochs"): 1,
    }
    effort = replace(
        EFFORTS["cpu-small"], main=(tiny,), ablation=(tiny,), real=(), seeds=(0,), lengths=lengths
    )
    monkeypatch.setattr(paper_tables, "EFFORTS", {"tiny": effort})
    monkeypatch.setattr(paper_page, "EFFORTS", {"tiny": effort})
    lines = (VARIANTS["paper"], VARIANTS["ours"], VARIANTS["released_no_squares"])
    table = Table("ladder", "A table", "Asked.", "ablation", lines, ("kmeans", "feat-kmeans"))
    for module in (paper_tables, paper_page):
        monkeypatch.setattr(module, "TABLES", (table,))
    arguments = ["--work", str(tmp_path / "work"), "--effort", "tiny", "--rows", str(tmp_path / "rows")]
    paper_tables.main(arguments)
    row = read_json(tmp_path / "rows" / "tiny" / "regular24" / "ours.json")
    run = row["runs"]["seed 0, fold 0"]
    assert sorted(run["levels"]) == ["1", "2", "3"] and len(run["levels"]["1"]["per_image"]) == 2
    assert 0 < run["levels"]["1"]["hsu"] <= 1
    # paper and its departure share a diffusion model
    assert len(list((tmp_path / "work" / "diffusion").glob("*.pth"))) == 2
    text = (tmp_path / "rows" / "tiny.md").read_text(encoding="utf-8")
    assert all(f"| {line.about} |" in text for line in lines) and "| feat-kmeans |" in text
    capfd.readouterr()
    paper_tables.main(arguments)
    assert "diffusion" not in capfd.readouterr().out
    assert read_json(tmp_path / "rows" / "tiny" / "regular24" / "ours.json") == row


def test_data_that_are_not_at_hand_are_left_out(tmp_path, capsys):
    table = next(table for table in paper_rows.TABLES if table.key == "flair")
    assert list(paper_tables._at_hand(Bench(tmp_path, "cpu-small"), table)) == []
    assert "flair: left out: give --real, a folder that holds Dataset901_TinyFLAIR" in capsys.readouterr().out
