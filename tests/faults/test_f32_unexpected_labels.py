"""F32: true labels that dataset.json does not name are counted and reported."""

import logging

import numpy as np
from evaluated import evaluate_arrays

LABELS = {"background": 0, "cell": 1}


def test_unexpected_labels_are_counted_and_warned_about(tmp_path, caplog):
    first, second = np.zeros((2, 4, 4, 4), np.uint8)
    first[1:3, 1:3, 1:3] = 1
    second[1:3, 1:3, 1:3] = 1
    prediction = {"a": first.copy(), "b": second.copy()}
    first[0, 0, :3] = 7
    second[0, 0, 0], second[0, 0, 1] = 7, 9
    with caplog.at_level(logging.WARNING, "dd_nnunet"):
        summary = evaluate_arrays(tmp_path, {"a": first, "b": second}, prediction, LABELS, n_parts=2)
    assert summary["unexpected_labels"] == {"7": 4, "9": 1}
    assert [entry["unexpected_labels"] for entry in summary["metric_per_case"]] == [
        {"7": 3},
        {"7": 1, "9": 1},
    ]
    assert "label 7 (4 voxels) belongs to no class" in caplog.text
    # the voxels are wrong for the part that took them: 3 of a's 56 background voxels
    assert summary["metric_per_case"][0]["metrics"]["0"]["FP"] == 3
    assert summary["protocols"]["strict"]["per_class"]["cell"] == 1.0
