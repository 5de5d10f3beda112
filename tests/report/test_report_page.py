import base64
import re

import pytest
from fake_run import (
    CASES,
    SPACING_ZYX_MM,
    add_baseline,
    make_dataset,
    make_fingerprint,
    make_whole,
    predict,
    score,
    train_diffusion,
    train_level,
)
from page_reader import PageReader
from small_volumes import write_label_map

from dd_nnunet.report.collect import ReportRequest
from dd_nnunet.report.page import _number, write_report
from dd_nnunet.storage.atomic import read_json, write_json
from dd_nnunet.storage.volume import read_label_map


def page_of(run, tmp_path, **changes):
    output = tmp_path / "page" / "report.html"
    page = write_report(ReportRequest(run.folders, "ddPlans", "3d_fullres", "0", **changes), output)
    reader = PageReader(output.read_text(encoding="utf-8"))
    assert not reader.inside  # every tag is closed
    return page, reader


def test_the_page_holds_everything_and_loads_nothing(tmp_path):
    page, reader = page_of(make_whole(tmp_path), tmp_path)
    text = reader.text
    assert "Parts discovered in Dataset007_Cells" in text
    assert "timestep 50 adds noise of sd 0.17, about twice the noise measured in the data" in text
    assert "Typical object diameters 12, 4.5 mm" in text
    assert "fold 0: 2 to train, 2 held out" in text
    for name in ("dd_nnunet", "kmeans", "denoise-kmeans"):
        assert re.search(rf"{name} (baseline )?0\.9\d\d", text), name
    assert re.search(r"granule part 3 0\.\d\d\d", text)
    assert "level 2 finished 20 1 min 10 s cpu 12345 1 time" in text
    assert "Level 2 · truth" in text and "ITK-SNAP" in text and "3D Slicer" in text
    assert '"labels": {"background": 0, "part_1": 1}' in text
    assert not page.warnings and not page.notes
    assert "part 0 (owns most of the border; not painted)" in text and "part 0 (background" not in text
    for address in reader.values_of("src", "srcset", "href"):
        assert address.startswith(("data:", "#")), address[:60]
    assert "script" not in {tag for tag, _ in reader.tags}


def test_svg_charts_refer_to_nothing_outside_and_do_not_change(tmp_path):
    run = make_whole(tmp_path)
    charts = [page.diffusion_curves.light for page, _ in (page_of(run, tmp_path), page_of(run, tmp_path))]
    assert charts[0] == charts[1]
    svg = base64.b64decode(charts[0].split(",")[1]).decode()
    assert not re.search(r'href="(?!#)', svg) and "@import" not in svg and "url(http" not in svg


def test_light_and_dark_charts_differ_in_ink_only(tmp_path):
    page, reader = page_of(make_whole(tmp_path), tmp_path)
    curves = page.levels[0].curves
    light, dark = (base64.b64decode(uri.split(",")[1]).decode() for uri in (curves.light, curves.dark))
    light, dark = (re.sub(r"\b[mp][0-9a-f]{10}\b", "id", svg) for svg in (light, dark))
    assert light.replace("#1f2933", "#e6eaf0").replace("#d8dee6", "#3a434f") == dark
    sources = [attributes for tag, attributes in reader.tags if tag == "source"]
    assert len(sources) == 5  # curves of diffusion and two levels, sizes of two levels
    assert {source["media"] for source in sources} == {"screen and (prefers-color-scheme: dark)"}


def test_what_speaks_against_the_result_stands_on_top(tmp_path):
    run = make_dataset(tmp_path)
    train_diffusion(run)
    train_level(run, 1)
    train_level(run, 2, dies=True, n_errors=900)
    (run.model / "fold_0" / "level1" / "validation" / "cell_d.nii.gz").unlink()
    score(run)
    add_baseline(run, "denoise-kmeans", 20)
    write_json(run.folders.fingerprint_json, make_fingerprint(16, ["cell_b: odd spacing"]))
    page, reader = page_of(run, tmp_path)
    assert page.warnings[0].startswith("Level 2 has collapsed: only 3 of 4 planned parts")
    assert "the baseline denoise-kmeans scores higher than dd_nnunet" in page.warnings[1]
    assert "Level 1: no prediction for cell_d; these cases count as Dice 0." in page.warnings
    assert page.warnings[-1] == "cell_b: odd spacing"
    assert reader.text.index("Read this before") < reader.text.index("Pictures Every column")


def test_a_part_that_is_lost_in_all_held_out_cases_stands_on_top(tmp_path):
    run = make_dataset(tmp_path, labels=False)
    train_level(run, 2)
    page, _ = page_of(run, tmp_path)
    assert page.warnings == ()
    for path in (run.model / "fold_0" / "level2" / "validation").glob("*.nii.gz"):
        labels, _ = read_label_map(path)
        labels[labels == 3] = 2
        write_label_map(path, labels, SPACING_ZYX_MM)
    page, reader = page_of(run, tmp_path)
    assert page.warnings == ("Level 2: part 3 is empty in all 2 predicted cases.",)
    assert "part 3 is empty in all 2 predicted cases." in reader.text


def test_unlabelled_data_have_no_truth_and_the_page_says_so(tmp_path):
    run = make_dataset(tmp_path, labels=False)
    train_diffusion(run)
    train_level(run, 1)
    train_level(run, 2)
    page, reader = page_of(run, tmp_path)
    assert "There are no true labels, so nothing is scored." in reader.text
    assert "no picture has a truth column" in page.notes[0] and len(page.notes) == 1
    assert not any("truth" in strip.title for case in page.cases for strip in case.strips)
    assert "Nested in level 1: on average" in reader.text


@pytest.mark.parametrize(
    ("record", "heading"),
    [
        ({"folds": ["0", "1", "2"]}, "predictions by folds 0, 1, 2, averaged"),
        ({"folds": ["3"]}, "predictions by fold 3"),
        (None, "given predictions"),
    ],
)
def test_predictions_are_headed_by_the_folds_that_made_them(tmp_path, record, heading):
    run = make_dataset(tmp_path)
    train_level(run, 1, dies=True)
    mine = tmp_path / "mine"
    predict(run, mine / "level1", 1, 0)
    if record:
        write_json(mine / "predictions.json", record)
    page, reader = page_of(run, tmp_path, predictions=mine)
    assert f"3d_fullres · {heading} · plan ddPlans" in reader.text
    assert "Training of fold 0" in reader.text
    assert page.warnings[0].startswith("Fold 0: Level 1 has collapsed")
    assert any(f"the pictures and sizes are those of {mine}" in note for note in page.notes)


def test_what_was_edited_in_the_plan_is_marked(tmp_path):
    run = make_dataset(tmp_path)
    train_level(run, 1)
    _, reader = page_of(run, tmp_path)
    assert "edited by hand" not in reader.text
    path = run.folders.plans_json("ddPlans")
    plan = read_json(path)
    plan["configurations"]["3d_fullres"]["levels"][0]["stages"] = [2]
    write_json(path, plan)
    _, reader = page_of(run, tmp_path)
    assert "That file was edited by hand since" in reader.text
    marked = "stage of level 1 1 of 3 edited by hand: the plan says 2 of 3 nearest a third"
    assert marked in reader.text and reader.text.count("edited by hand:") == 1


def test_only_the_diffusion_model_is_trained(tmp_path):
    run = make_dataset(tmp_path)
    train_diffusion(run)
    page, reader = page_of(run, tmp_path)
    assert page.diffusion_curves is not None and page.levels[0].curves is None
    assert (
        "No segmenter is trained yet for level 1, 2: run dd_train Dataset007_Cells 3d_fullres 0" in page.notes
    )
    assert "the pictures show the images alone" in reader.text
    assert "No predictions yet." in reader.text
    assert [strip.title for strip in page.cases[0].strips] == ["Image"]


def test_nothing_but_a_plan_makes_a_page(tmp_path):
    run = make_dataset(tmp_path)
    (run.folders.preprocessed / "dataset_fingerprint.json").unlink()
    (run.folders.preprocessed / "splits_final.json").unlink()
    _, reader = page_of(run, tmp_path, n_cases=4)
    assert all(case in reader.text for case in CASES)
    assert "Nothing is trained yet." in reader.text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0, "0"),
        (0.0123456, "0.0123"),
        (0.5, "0.5"),
        (4.5, "4.5"),
        (12.0, "12"),
        (99.95, "100"),
        (12345.6, "12\u202f346"),
    ],
)
def test_numbers_for_people(value, text):
    assert _number(value) == text
