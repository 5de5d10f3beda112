"""F16: predictions on another grid than the truth are refused, not compared voxel by voxel."""

import dataclasses

import numpy as np
import pytest

from dd_nnunet.core.case import Geometry
from dd_nnunet.core.dataset import describe_dataset
from dd_nnunet.core.errors import ManyErrors
from dd_nnunet.evaluation.folder import evaluate_folder
from dd_nnunet.storage.volume import write_labels

DESCRIPTION = describe_dataset(
    {"channel_names": {"0": "x"}, "file_ending": ".nii.gz", "labels": {"background": 0, "cell": 1}},
    "dataset.json",
)
GRID = Geometry((5, 4, 3), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))


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
