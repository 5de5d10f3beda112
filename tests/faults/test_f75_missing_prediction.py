"""F75: a missing prediction counts as Dice 0 and as the diagonal, never is it left out of the mean."""

import logging
import math

import numpy as np
from evaluated import evaluate_arrays

LABELS = {"background": 0, "cell": 1}


def test_missing_predictions_count_as_zero(tmp_path, caplog):
    truth = np.zeros((4, 4, 4), np.uint8)
    truth[1:3, 1:3, 1:3] = 1
    truths = {case: truth for case in "abcd"}
    with caplog.at_level(logging.WARNING, "dd_nnunet"):
        summary = evaluate_arrays(tmp_path, truths, {"a": truth, "b": truth, "c": truth}, LABELS, n_parts=2)
    assert (summary["n_cases"], summary["n_missing"], summary["missing"]) == (4, 1, ["d"])
    assert summary["protocols"]["strict"]["dice"] == 0.75
    assert summary["protocols"]["hsu"]["dice"] == 0.75
    assert summary["foreground_mean"]["Dice"] == 0.75
    diagonal = math.sqrt(3 * 4**2)
    assert summary["metric_per_case"][3]["metrics"]["1"]["HD95"] == diagonal
    assert summary["protocols"]["strict"]["hd95_mm"] == diagonal / 4
    assert summary["metric_per_case"][3]["missing"] is True
    assert "a missing prediction counts as Dice 0" in summary["policy"]
    assert "1 prediction is missing and counts as Dice 0: d" in caplog.text
