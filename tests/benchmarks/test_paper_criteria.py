import pytest
from paper_criteria import criteria_table
from paper_row import run_of

from dd_nnunet.storage.atomic import write_json

OURS = {
    "visual_target": "denoised", "scaling": "standardise", "n_components": 32, "timesteps": [50, 75], "n_draws": 4,
    "stages": {"1": [1]},
}  # fmt: skip
PAPERS = OURS | {"visual_target": "image", "scaling": "none", "n_components": 0}


def end(certainty, contrast):
    criteria = {
        "explained_visual": 0.5, "explained_features": 0.5, "boundary_contrast": contrast,
        "mirror_agreement": 0.5, "gamma_agreement": 0.5,
    }  # fmt: skip
    return {"part_shares": [0.5, 0.5], "mean_max_probability": certainty, "criteria": criteria}


def keep(folder, line, ended, dice, features=OURS):
    """A line of one run, with its criteria and strict Dice of level 1."""
    run = run_of((0.5,)) | {"finished": {"diffusion": {}, "levels": {"levels": {"1": ended}}}}
    run["features"] = features
    run["levels"]["1"]["strict"] = dice
    write_json(folder / f"{line}.json", {"runs": {"seed 0, fold 0": run}})


def test_criteria_are_ranked_against_dice_over_all_runs(tmp_path):
    for number in range(8):
        keep(tmp_path, f"line{number}", end(1 - number / 10, number), number / 10)
    write_json(tmp_path / "kmeans.json", {"runs": {"seed 0, fold 0": run_of((0.9,))}})
    table = criteria_table(tmp_path)
    assert "| criterion | level 1 (8 runs, groups: 1) |" in table
    assert "| certainty (the paper's) | -1.00 |" in table
    assert "| contrast across outlines | 1.00 |" in table
    # a criterion that never differs has no rank
    assert "| agreement with a mirrored copy | – |" in table
    (tmp_path / "line0.json").unlink()
    assert criteria_table(tmp_path) == ""


def test_criteria_on_another_scale_are_ranked_apart(tmp_path):
    """Of both groups together the contrast would fall with Dice, in each alone it goes with it or against it."""
    for number in range(12):
        keep(tmp_path, f"ours{number}", end(0.5, number), number / 100)
    for number in range(8):
        keep(tmp_path, f"paper{number}", end(0.5, 1000 - number), 0.5 + number / 100, PAPERS)
    for number in range(7):
        keep(tmp_path, f"few{number}", end(0.5, -number), 0.9 + number / 100, OURS | {"scaling": "whiten"})
    table = criteria_table(tmp_path)
    assert "| level 1 (20 runs, groups: 2) |" in table
    # (12 · 1 − 8 · 1) / 20
    assert "| contrast across outlines | 0.20 |" in table


@pytest.mark.parametrize("other", [{"timesteps": [25]}, {"n_draws": 1}, {"stages": {"1": [2]}}])
def test_features_of_another_stage_or_timestep_are_on_another_scale(tmp_path, other):
    for number in range(8):
        keep(tmp_path, f"ours{number}", end(0.5, number), number / 10)
    keep(tmp_path, "other", end(0.5, -1), 1.0, OURS | other)
    assert "| level 1 (8 runs, groups: 1) |" in criteria_table(tmp_path)


def test_a_network_that_two_lines_predict_with_counts_once(tmp_path):
    for number in range(8):
        keep(tmp_path, f"line{number}", end(0.5, number), number / 10)
    keep(tmp_path, "once-more", end(0.5, 7), 0.9)
    assert "| level 1 (8 runs, groups: 1) |" in criteria_table(tmp_path)


@pytest.mark.parametrize("n", [8, 9])
def test_runs_without_dice_do_not_count(tmp_path, n):
    for number in range(n):
        keep(tmp_path, f"line{number}", end(0.5, number), None if number == 0 else number / 10)
    assert ("(8 runs" in criteria_table(tmp_path)) is (n == 9)
