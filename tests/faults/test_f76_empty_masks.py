"""F76: empty masks have defined scores, and summary.json never holds NaN."""

import json
import math

import numpy as np
import pytest
from evaluated import evaluate_arrays

LABELS = {"background": 0, "cell": 1}
EMPTY, CELL = np.zeros((2, 4, 4, 4), np.uint8)
CELL[1:3, 1:3, 1:3] = 1
DIAGONAL = math.sqrt(3 * 4**2)


def refuse(name):
    raise AssertionError(f"{name} in summary.json")


@pytest.mark.parametrize(
    ("truth", "prediction", "dice", "hd95"),
    [
        (EMPTY, EMPTY, None, None),
        (EMPTY, CELL, 0.0, DIAGONAL),
        (CELL, EMPTY, 0.0, DIAGONAL),
        (CELL, CELL, 1.0, 0.0),
    ],
    ids=["both empty", "truth empty", "prediction empty", "neither"],
)
def test_the_table_of_empty_masks(tmp_path, truth, prediction, dice, hd95):
    # the case c fixes the label map: part 1 is the cell
    summary = evaluate_arrays(
        tmp_path, {"a": truth, "c": CELL}, {"a": prediction, "c": CELL}, LABELS, n_parts=2
    )
    assert summary["label_map"] == {"background": 0, "cell": 1}
    metrics = summary["metric_per_case"][0]["metrics"]["1"]
    assert (metrics["Dice"], metrics["HD95"]) == (dice, hd95)
    expected = 1.0 if dice is None else (1.0 + dice) / 2
    assert summary["mean"]["1"]["Dice"] == expected
    assert summary["foreground_mean"]["Dice"] == expected
    assert summary["protocols"]["strict"]["per_class"]["cell"] == expected
    assert summary["protocols"]["strict"]["n_undefined"] == (1 if dice is None else 0)
    json.loads((tmp_path / "out/summary.json").read_text(), parse_constant=refuse)


def test_a_class_that_is_nowhere_is_null(tmp_path):
    labels = {**LABELS, "rare": 2}
    summary = evaluate_arrays(tmp_path, {"a": CELL, "b": CELL}, {"a": CELL, "b": CELL}, labels, n_parts=2)
    assert summary["mean"]["2"]["Dice"] is None
    strict = summary["protocols"]["strict"]
    assert strict["per_class"] == {"background": 1.0, "cell": 1.0, "rare": None}
    assert strict["dice"] == strict["foreground"] == 1.0
    assert strict["n_undefined"] == 2
    json.loads((tmp_path / "out/summary.json").read_text(), parse_constant=refuse)


def test_an_image_without_any_class(tmp_path):
    seven = np.full((4, 4, 4), 7, np.uint8)
    summary = evaluate_arrays(tmp_path, {"a": seven}, {"a": EMPTY}, LABELS, n_parts=2)
    assert summary["protocols"]["hsu"] == {**summary["protocols"]["hsu"], "dice": None, "n_undefined": 1}
    assert summary["protocols"]["strict"]["foreground"] is None
    json.loads((tmp_path / "out/summary.json").read_text(), parse_constant=refuse)
