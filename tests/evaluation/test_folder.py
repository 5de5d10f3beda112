import json

import numpy as np
import pytest
from label_folders import ENDING, cell, description, write

from dd_nnunet.core.errors import ManyErrors, UserError
from dd_nnunet.core.json_record import dump_json
from dd_nnunet.evaluation.folder import (
    EvaluationRules,
    case_ids_in,
    evaluate_folder,
    evaluate_levels,
    labelled_cases,
    write_summary,
)

NNUNET_METRICS = {"Dice", "IoU", "FN", "FP", "TN", "TP", "n_pred", "n_ref"}


@pytest.fixture
def truth(tmp_path):
    write(tmp_path / "truth", a=cell(), b=cell(shift=1))
    return tmp_path / "truth"


def test_a_perfect_prediction_under_other_part_numbers(tmp_path, truth):
    other_names = np.array([2, 0, 1], np.uint8)
    write(tmp_path / "predictions", a=other_names[cell()], b=other_names[cell(shift=1)])
    summary = evaluate_folder(tmp_path / "predictions", truth, description(), level=2, n_parts=3)
    assert summary["label_map"] == {"background": 2, "cytoplasm": 0, "nucleus": 1}
    assert summary["protocols"]["hsu"]["dice"] == 1.0
    strict = summary["protocols"]["strict"]
    assert (strict["dice"], strict["foreground"], strict["hd95_mm"]) == (1.0, 1.0, 0.0)
    assert strict["interval"] == [1.0, 1.0]
    assert strict["per_class"] == {"background": 1.0, "cytoplasm": 1.0, "nucleus": 1.0}
    assert (summary["n_cases"], summary["n_missing"], summary["level"], summary["n_parts"]) == (2, 0, 2, 3)


def test_the_summary_has_nnunets_keys(tmp_path, truth):
    write(tmp_path / "predictions", a=cell(), b=cell(shift=1))
    summary = evaluate_folder(tmp_path / "predictions", truth, description(), level=1, n_parts=3)
    assert list(summary)[:3] == ["foreground_mean", "mean", "metric_per_case"]
    assert list(summary["mean"]) == ["0", "(1, 2)"]
    assert summary["class_names"] == {"0": "background", "(1, 2)": "cell"}
    case = summary["metric_per_case"][0]
    assert case["reference_file"] == str(truth / f"a{ENDING}")
    assert case["prediction_file"] == str(tmp_path / "predictions" / f"a{ENDING}")
    assert set(case["metrics"]["0"]) == NNUNET_METRICS | {"HD95"}
    assert case["metrics"]["0"]["HD95"] is None
    # part 1 is the cell without its nucleus: 56 of 64 voxels
    assert case["metrics"]["(1, 2)"] == {
        "Dice": 2 * 56 / (56 + 64),
        "IoU": 56 / 64,
        "HD95": 0.0,
        "FN": 8,
        "FP": 0,
        "TN": 512 - 64,
        "TP": 56,
        "n_pred": 56,
        "n_ref": 64,
    }
    assert summary["foreground_mean"]["Dice"] == 2 * 56 / (56 + 64)


def test_labels_without_levels_are_classes_one_by_one(tmp_path, truth):
    write(tmp_path / "predictions", a=cell(), b=cell(shift=1))
    summary = evaluate_folder(tmp_path / "predictions", truth, description(levels=None), level=3)
    assert summary["label_map"] == {"background": 0, "cell": 1, "nucleus": 2}
    assert summary["n_parts"] == 3


def test_only_the_wanted_cases_count(tmp_path, truth):
    write(tmp_path / "predictions", a=cell())
    summary = evaluate_folder(
        tmp_path / "predictions", truth, description(), 2, 3, EvaluationRules(["a", "unlabelled"])
    )
    assert [entry["case"] for entry in summary["metric_per_case"]] == ["a"]
    assert summary["n_missing"] == 0
    # one image says nothing about images not seen
    assert summary["protocols"]["strict"]["interval"] is None


def test_strict_is_the_mean_over_classes_of_the_means_over_images(tmp_path, truth):
    write(tmp_path / "predictions", a=cell(), b=cell())
    summary = evaluate_folder(tmp_path / "predictions", truth, description(), level=2, n_parts=3)
    dice = [[e["metrics"][key]["Dice"] for key in ("0", "1", "2")] for e in summary["metric_per_case"]]
    strict = summary["protocols"]["strict"]
    assert dice[0] == [1.0, 1.0, 1.0]
    # b is the cell shifted by one voxel: the nuclei share 4 of 8 voxels
    assert dice[1][2] == 0.5
    assert strict["dice"] == pytest.approx(np.mean(dice))
    assert strict["foreground"] == pytest.approx(np.mean(dice, axis=0)[1:].mean())
    assert strict["per_class"]["nucleus"] == 0.75
    assert strict["hd95_mm_per_class"]["nucleus"] == 0.5
    assert strict["interval"][0] == pytest.approx(np.mean(dice[1]))
    assert strict["interval"][1] == pytest.approx(1.0)


def test_levels_and_their_nesting(tmp_path, truth):
    fine = cell(shift=1)
    write(tmp_path / "level1", a=(cell() > 0).astype(np.uint8), b=(cell(shift=1) > 0).astype(np.uint8))
    write(tmp_path / "level2", a=cell(), b=fine)
    folders = {1: tmp_path / "level1", 2: tmp_path / "level2"}
    summaries = evaluate_levels(folders, truth, description(), {1: 2, 2: 3})
    assert "nesting" not in summaries[1]
    assert summaries[2]["nesting"] == {
        "coarse_level": 1,
        "violation_rate": 0.0,
        "per_part": [0.0, 0.0, 0.0],
        "coarse_part": [0, 1, 1],
    }
    # the coarse cell of b moves by a voxel: 16 of 2·56 cytoplasm and of 2·448 background voxels are outside
    write(tmp_path / "level1", b=(cell(shift=0) > 0).astype(np.uint8))
    nesting = evaluate_levels(folders, truth, description(), {1: 2, 2: 3})[2]["nesting"]
    assert nesting["per_part"] == pytest.approx([16 / 896, 16 / 112, 0.0])
    assert nesting["violation_rate"] == pytest.approx((16 / 896 + 16 / 112) / 3)


def test_the_summary_is_written_and_read_back(tmp_path, truth):
    write(tmp_path / "predictions", a=cell(), b=cell())
    summary = evaluate_folder(tmp_path / "predictions", truth, description(), level=2, n_parts=3)
    write_summary(tmp_path / "predictions", summary)
    assert json.loads((tmp_path / "predictions/summary.json").read_text()) == summary
    assert json.loads((tmp_path / "predictions/label_map.json").read_text()) == summary["label_map"]
    dump_json(summary)


def test_a_part_beyond_the_model_names_the_file(tmp_path, truth):
    write(tmp_path / "predictions", a=cell(nucleus=3), b=cell(nucleus=4))
    with pytest.raises(ManyErrors) as caught:
        evaluate_folder(tmp_path / "predictions", truth, description(), level=2, n_parts=3)
    assert [line.split("/")[-1].split(":")[0] for line in caught.value.lines] == [f"a{ENDING}", f"b{ENDING}"]


def test_nothing_predicted(tmp_path, truth):
    with pytest.raises(UserError, match="is no folder"):
        evaluate_folder(tmp_path / "predictions", truth, description(), 2)
    (tmp_path / "predictions").mkdir()
    with pytest.raises(UserError, match="holds no prediction"):
        evaluate_folder(tmp_path / "predictions", truth, description(), 2)


def test_which_cases_have_labels(tmp_path, truth):
    write(truth, **{"._a": cell()})
    assert case_ids_in(truth, ENDING) == ("a", "b")
    assert labelled_cases(truth, description()) == ("a", "b")
    assert labelled_cases(truth, description(labels={}, levels=None)) == ()
    assert labelled_cases(tmp_path / "nowhere", description()) == ()
