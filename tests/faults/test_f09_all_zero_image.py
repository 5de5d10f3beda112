"""F09: an all-zero volume is left out of training with a warning, and predicted as a single part."""

import numpy as np
import pytest
import torch
from planned import make_faulty
from predicting import make_toy, noise
from restoring import restore_probabilities
from small_plan import AT_1_MM
from small_volumes import cell, volume_of

from dd_nnunet.core.plan import LevelGroup, LevelPlan
from dd_nnunet.networks.device import choose_runtime
from dd_nnunet.prediction.predict_case import FoldEnsemble, PredictionSettings
from dd_nnunet.preprocessing.case import preprocess_case, restore_labels
from dd_nnunet.storage.volume import read_label_map

ZEROS = np.zeros((16, 16, 16), np.float32)


def test_an_all_zero_image_is_left_out_with_a_warning(tmp_path, capsys):
    dataset = make_faulty(tmp_path, {"a": cell(0), "b": cell(1), "empty": ZEROS})
    assert dataset.run() == 0
    assert "warning: empty: constant volume, left out of training" in capsys.readouterr().out
    assert dataset.prepared_cases == ["a", "b"]
    warnings = dataset.json("dataset_fingerprint.json")["warnings"]
    assert "empty: constant volume, left out of training" in warnings


def test_it_can_be_prepared_for_prediction_and_its_parts_carried_back():
    prepared = preprocess_case(volume_of(ZEROS), "empty", AT_1_MM)
    assert prepared.array.shape == (1, 16, 16, 16) and not prepared.array.any()
    single = np.ones((1, 16, 16, 16), np.float32)
    assert not restore_probabilities(single, prepared.properties).any()
    labels = np.zeros((16, 16, 16), np.uint8)
    np.testing.assert_array_equal(restore_labels(labels, prepared.properties), labels)


def test_the_command_predicts_it_beside_others(tmp_path):
    toy = make_toy(tmp_path)
    toy.add_image("empty", np.zeros((12, 14, 16)))
    toy.add_image("full", noise())
    assert toy.predict() == 0
    assert toy.states == {"empty": "done", "full": "done"}
    assert toy.record["cases"]["empty"]["voxels_per_part"]["level2"] == [12 * 14 * 16, 0, 0]


class Checkered(torch.nn.Module):
    """Finds two parts in anything, as a network does at the borders of an empty volume."""

    def forward(self, x):
        board = torch.from_numpy(np.indices(x.shape[2:]).sum(0) % 2).float().expand(x.shape)
        return torch.cat((board, 1 - board), dim=1)


@pytest.mark.parametrize(("array", "found"), [(ZEROS, [0]), (ZEROS + 42, [0]), (cell(0), [0, 1])])
def test_it_is_predicted_as_a_single_part(tmp_path, array, found):
    settings = PredictionSettings(AT_1_MM, choose_runtime("cpu", "float32"), mirror=False)
    level = LevelPlan(1, 2, (1,))
    ensemble = FoldEnsemble([Checkered()], settings, LevelGroup((level,)))
    ensemble.write(preprocess_case(volume_of(array), "empty", AT_1_MM), {level: tmp_path / "empty.nii.gz"})
    labels, _ = read_label_map(tmp_path / "empty.nii.gz")
    assert labels.shape == array.shape
    assert np.unique(labels).tolist() == found
