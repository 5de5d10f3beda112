from dataclasses import replace
from pathlib import Path

import paper_bench
import paper_page
import paper_picture
import paper_tables
import pytest
import torch
from matplotlib.image import imread
from paper_bench import Bench
from paper_data import EFFORTS, REGULAR32, Cells
from paper_plans import edit_plan, plan_sha256
from paper_rows import TABLES, Table, Variant
from paper_tables import Run

from dd_nnunet.networks.checkpoint import load_checkpoint, save_checkpoint
from dd_nnunet.storage.atomic import read_json, write_json

GOLDEN = Path(__file__).parents[1] / "golden" / "plan_gallery_regular.json"
VARIANTS = {variant.name: variant for table in TABLES for variant in table.variants}


@pytest.fixture
def run(tmp_path):
    """One of ours, with its plan."""
    bench = Bench(tmp_path / "work", "cpu-small", rows=tmp_path / "rows")
    (bench.work / "raw" / REGULAR32.folder).mkdir(parents=True)
    run = Run(bench, REGULAR32, VARIANTS["ours"], "ours", 1, "0")
    edit_plan(GOLDEN, run.plan, {})
    return run


def test_a_run_is_kept_with_its_plan_and_the_gpu_that_was_used(run, monkeypatch):
    monkeypatch.setattr(paper_tables, "machine", lambda *devices: {"used": devices})
    assert not run.is_kept()
    run.keep({"levels": {}}, "cuda, bfloat16", "cuda, bfloat16")
    replace(run, seed=2).keep({"levels": {"1": {}}})
    row = read_json(run.row)
    assert row["data"] == "regular, 32³, 40 training and 20 test cells" and row["effort"] == "cpu-small"
    first, second = row["runs"]["seed 1, fold 0"], row["runs"]["seed 2, fold 0"]
    assert first["machine"] == {"used": ["cuda, bfloat16"] * 2} and second["machine"] == {"used": []}
    assert first["plan_sha256"] == second["plan_sha256"] == plan_sha256(run.plan)
    assert run.is_kept() and not replace(run, fold="1").is_kept()
    assert [path.name for path in run.row.parent.iterdir()] == ["ours.json"]


def test_a_run_of_another_plan_is_refused_and_its_file_named(run):
    run.keep({"levels": {}})
    edit_plan(GOLDEN, run.plan, {("segmenter", "epochs"): 17})
    with pytest.raises(SystemExit) as refused:
        run.is_kept()
    assert f"{run.row}: seed 1, fold 0 was made with another plan" in str(refused.value)
    assert f"delete {run.row}" in str(refused.value)


def test_lines_that_train_the_same_diffusion_model_share_it(run):
    shared = run.shared_diffusion("3d_fullres")
    edit_plan(GOLDEN, run.plan, {("segmenter", "epochs"): 17})
    assert run.shared_diffusion("3d_fullres") == shared
    edit_plan(GOLDEN, run.plan, {("diffusion", "iterations"): 17})
    assert run.shared_diffusion("3d_fullres") != shared


def test_a_shared_diffusion_model_is_whole_and_keeps_its_seconds(tmp_path):
    place, shared = tmp_path / "fold_0", tmp_path / "diffusion" / "abc.pth"
    write_json(place / "diffusion" / "finished.json", {"device": "cpu", "seconds": 70.0})
    save_checkpoint(place / "diffusion" / "checkpoint_final.pth", {"weights": torch.ones(3)})
    paper_tables._share_diffusion(place, shared)
    assert sorted(path.name for path in shared.parent.iterdir()) == ["abc.json", "abc.pth", "abc.pth.sha256"]
    assert load_checkpoint(shared)["weights"].tolist() == [1, 1, 1]
    assert paper_tables.diffusion_seconds({"device": "cpu", "pretrained": str(shared)}, shared) == 70.0
    assert paper_tables.diffusion_seconds({"device": "cpu", "seconds": 80.0}, shared) == 80.0
    assert paper_tables.diffusion_seconds({"device": "cpu", "pretrained": "x"}, tmp_path / "x.pth") is None


def test_a_rival_on_objects_is_left_out_where_none_are_planned(run, capsys):
    edit_plan(GOLDEN, run.plan, {("objects", ""): None})
    paper_tables.run_baseline(run.bench, REGULAR32, "objects", 1)
    assert "regular32: objects is left out: our plan of these data has no objects" in capsys.readouterr().out


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
        EFFORTS["cpu-small"], main=(tiny,), ablation=(tiny,), real=(), seeds=(0, 1), lengths=lengths
    )
    for module in (paper_bench, paper_tables, paper_page, paper_picture):
        monkeypatch.setattr(module, "EFFORTS", {"tiny": effort})
    others = (VARIANTS["released_no_squares"], VARIANTS["student"])
    once = Variant("once", "no second pass", edits={("objects", "second_pass"): False}, networks_of="ours")
    lines = (VARIANTS["paper"], VARIANTS["ours"], *others, once)
    table = Table("ladder", "A table", "Asked.", "ablation", lines, ("kmeans", "feat-kmeans"), "ours")
    for module in (paper_tables, paper_page):
        monkeypatch.setattr(module, "TABLES", (table,))
    arguments = ["--work", str(tmp_path / "work"), "--effort", "tiny", "--rows", str(tmp_path / "rows")]
    paper_tables.main(arguments)
    row = read_json(tmp_path / "rows" / "tiny" / "regular24" / "ours.json")
    run = row["runs"]["seed 0, fold 0"]
    assert sorted(run["levels"]) == ["1", "2", "3"] and len(run["levels"]["1"]["per_image"]) == 2
    assert 0 < run["levels"]["1"]["hsu"] <= 1
    assert run["features"] == {"visual_target": "denoised", "scaling": "standardise", "n_components": 32}
    # of each seed; paper and its departure share a diffusion model, and the student has its teacher's
    assert len(list((tmp_path / "work" / "diffusion").glob("*.pth"))) == 4
    rows = (tmp_path / "rows" / "tiny" / "regular24" / f"{line.name}.json" for line in lines)
    paper, _, released, student, once_row = (read_json(path)["runs"]["seed 0, fold 0"] for path in rows)
    assert "seconds" in paper["finished"]["diffusion"] and "seconds" not in released["finished"]["diffusion"]
    assert paper["diffusion_seconds"] == released["diffusion_seconds"]
    text = (tmp_path / "rows" / "tiny.md").read_text(encoding="utf-8")
    assert all(f"| {line.about} |" in text for line in lines) and "| feat-kmeans |" in text
    assert student["levels"] != run["levels"] != once_row["levels"]
    assert "finished" not in once_row and len(once_row["levels"]["1"]["per_image"]) == 2
    averaged = read_json(tmp_path / "rows" / "tiny" / "regular24" / "ours-ensemble.json")["runs"]
    assert list(averaged) == ["seed 0 1, fold 0"]
    assert sorted(averaged["seed 0 1, fold 0"]["levels"]) == ["1", "2", "3"]
    assert "| dd_nnunet, as planned, all seeds averaged |" in text
    drawn = [
        "--effort",
        "tiny",
        "--data",
        "regular24",
        "--lines",
        "ours",
        "kmeans",
        "--pictures",
        str(tmp_path),
    ]
    paper_picture.main(["--work", str(tmp_path / "work"), *drawn])
    # a row per level; image, truth and the two lines
    height, width, _ = imread(tmp_path / "regular24.png").shape
    assert 1.1 < width / height < 1.4
    said = capfd.readouterr().out
    assert said.count("labels changed by the teacher") == 2
    paper_tables.main(arguments)
    assert "diffusion" not in (said := capfd.readouterr().out) and "changed by the teacher" not in said
    assert read_json(tmp_path / "rows" / "tiny" / "regular24" / "ours.json") == row


def test_data_that_are_not_at_hand_are_left_out(tmp_path, capsys):
    table = next(table for table in TABLES if table.key == "flair")
    assert list(paper_tables._at_hand(Bench(tmp_path, "cpu-small"), table)) == []
    assert "flair: left out: give --real, a folder that holds Dataset901_TinyFLAIR" in capsys.readouterr().out
