"""F16: predictions on another grid than the truth are refused, not compared voxel by voxel."""

import dataclasses
import logging

import numpy as np
import pytest
from small_volumes import straight_grid

from dd_nnunet.commands import evaluate
from dd_nnunet.core.dataset import describe_dataset
from dd_nnunet.core.errors import ManyErrors
from dd_nnunet.evaluation.folder import EvaluationRules, evaluate_folder
from dd_nnunet.storage.atomic import write_json
from dd_nnunet.storage.grids import resample_labels
from dd_nnunet.storage.volume import write_labels

DATA = {"channel_names": {"0": "x"}, "file_ending": ".nii.gz", "labels": {"background": 0, "cell": 1}}
DESCRIPTION = describe_dataset(DATA, "dataset.json")
GRID = straight_grid((3, 4, 5), (2.0, 1.0, 1.0))


def volume(shape=(3, 4, 5)):
    labels = np.zeros(shape, np.uint8)
    labels[1] = 1
    return labels


@pytest.mark.parametrize(
    ("changes", "shape", "message"),
    [
        ({"size_xyz": (5, 4, 2)}, (2, 4, 5), "size"),
        ({"spacing_xyz_mm": (1.0, 1.0, 2.5)}, (3, 4, 5), "spacing"),
        ({"direction": (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)}, (3, 4, 5), "direction"),
        ({"origin_xyz_mm": (3.0, 0.0, 0.0)}, (3, 4, 5), "origin"),
    ],
)
def test_another_grid_is_refused(tmp_path, changes, shape, message):
    # two bad cases: both are named
    for case in ("a", "b"):
        write_labels(tmp_path / f"truth/{case}.nii.gz", volume(), GRID)
        write_labels(tmp_path / f"out/{case}.nii.gz", volume(shape), dataclasses.replace(GRID, **changes))
    with pytest.raises(ManyErrors) as caught:
        evaluate_folder(tmp_path / "out", tmp_path / "truth", DESCRIPTION, level=1)
    assert len(caught.value.lines) == 2
    for case, line in zip("ab", caught.value.lines, strict=True):
        assert f"{case}.nii.gz" in line and message in line and "resample" in line


def test_rounded_headers_are_the_same_grid(tmp_path):
    nearly = dataclasses.replace(GRID, spacing_xyz_mm=(1.0, 1.0, 2.0000001))
    write_labels(tmp_path / "truth/a.nii.gz", volume(), GRID)
    write_labels(tmp_path / "out/a.nii.gz", volume(), nearly)
    summary = evaluate_folder(tmp_path / "out", tmp_path / "truth", DESCRIPTION, level=1)
    assert summary["protocols"]["strict"]["dice"] == 1.0


def test_with_the_flag_a_prediction_on_another_grid_is_resampled(tmp_path, caplog):
    """Twice the voxels along z, one voxel further on: the truth's slice 1 is the prediction's slices 0 and 1."""
    fine = dataclasses.replace(
        GRID, size_xyz=(5, 4, 4), spacing_xyz_mm=(1.0, 1.0, 1.0), origin_xyz_mm=(0.0, 0.0, 1.5)
    )
    predicted = np.zeros((4, 4, 5), np.uint8)
    predicted[:2] = 1
    write_labels(tmp_path / "truth/a.nii.gz", volume(), GRID)
    write_labels(tmp_path / "out/a.nii.gz", predicted, fine)
    with pytest.raises(ManyErrors, match="or give --resample"):
        evaluate_folder(tmp_path / "out", tmp_path / "truth", DESCRIPTION, level=1)
    rules = EvaluationRules(resample=True)
    with caplog.at_level(logging.WARNING, "dd_nnunet"):
        summary = evaluate_folder(tmp_path / "out", tmp_path / "truth", DESCRIPTION, 1, rules=rules)
    assert summary["protocols"]["strict"]["dice"] == 1.0
    assert summary["metric_per_case"][0]["metrics"]["1"]["HD95"] == 0.0
    assert "out/a.nii.gz: has the size (5, 4, 4)" in caplog.text and "it is resampled" in caplog.text


def test_what_lies_outside_the_prediction_is_part_0():
    labels = 10 * np.arange(1, 61, dtype=np.uint16).reshape(3, 4, 5)
    shifted = dataclasses.replace(GRID, origin_xyz_mm=(2.4, 0.0, 0.0))
    resampled = resample_labels(labels, GRID, shifted)
    assert resampled.dtype == np.uint16
    # 2.4 voxels along x: the nearest is two further on, and the last two have left the labels' box
    np.testing.assert_array_equal(resampled[..., :3], labels[..., 2:])
    np.testing.assert_array_equal(resampled[..., 3:], 0)


def test_the_command_has_the_flag(tmp_path, capsys):
    write_json(tmp_path / "dataset.json", DATA)
    write_labels(tmp_path / "labelsTs/a.nii.gz", volume(), GRID)
    shifted = dataclasses.replace(GRID, origin_xyz_mm=(0.4, 0.0, 0.0))
    write_labels(tmp_path / "out/level1/a.nii.gz", volume(), shifted)
    arguments = [str(tmp_path / "out"), str(tmp_path / "labelsTs")]
    assert evaluate.main(arguments) == 2
    assert "--resample" in capsys.readouterr().err
    assert not (tmp_path / "out/level1/summary.json").exists()
    assert evaluate.main([*arguments, "--resample"]) == 0
    assert "1.000" in capsys.readouterr().out
