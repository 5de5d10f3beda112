"""F79: label maps of over 255 parts keep every part: the number type follows the largest."""

import numpy as np
import pytest
from evaluated import evaluate_arrays
from fault_files import ENDINGS, geometry
from restoring import restore_probabilities
from small_plan import AT_1_MM
from small_volumes import volume_of

from dd_nnunet.preprocessing.case import preprocess_case
from dd_nnunet.storage.volume import read_label_map, write_labels

N_PARTS = 300
# every part owns one voxel of 6 x 5 x 10
LABELS = np.random.default_rng(0).permutation(N_PARTS).reshape(10, 5, 6)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(("labels", "dtype"), [(LABELS, "uint16"), (LABELS % 256, "uint8")])
def test_300_parts_come_back_in_every_format(tmp_path, ending, labels, dtype):
    path = tmp_path / f"case{ending}"
    write_labels(path, labels, geometry(size_xyz=(6, 5, 10)))
    back, _ = read_label_map(path)
    np.testing.assert_array_equal(back, labels)
    assert back.dtype == dtype


def test_300_probabilities_become_300_parts(tmp_path):
    image = np.random.default_rng(1).normal(size=LABELS.shape).astype(np.float32)
    case = preprocess_case(volume_of(image), "case", AT_1_MM)
    probabilities = np.zeros((N_PARTS, *LABELS.shape), np.float32)
    np.put_along_axis(probabilities, LABELS[None], 1.0, axis=0)
    parts = restore_probabilities(probabilities, case.properties)
    np.testing.assert_array_equal(parts, LABELS)
    write_labels(tmp_path / "case.nii.gz", parts, case.properties.geometry)
    np.testing.assert_array_equal(read_label_map(tmp_path / "case.nii.gz")[0], LABELS)


def test_300_parts_are_evaluated(tmp_path):
    truth = (LABELS == 299).astype(np.uint8)
    summary = evaluate_arrays(
        tmp_path, {"a": truth}, {"a": LABELS}, {"background": 0, "cell": 1}, n_parts=N_PARTS
    )
    assert summary["label_map"]["cell"] == 299
    assert summary["metric_per_case"][0]["metrics"]["1"]["Dice"] == 1.0
