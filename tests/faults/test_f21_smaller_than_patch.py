"""F21: volumes smaller than the patch on any axis are padded, one voxel included."""

import numpy as np
import pytest
import torch
from planned import make_faulty
from predicting import make_toy, noise
from small_plan import AT_1_MM
from small_volumes import cell, cells, volume_of

from dd_nnunet.core.plan import LevelGroup, LevelPlan
from dd_nnunet.networks.device import choose_runtime
from dd_nnunet.prediction.predict_case import FoldEnsemble, PredictionSettings
from dd_nnunet.preprocessing.case import preprocess_case
from dd_nnunet.preprocessing.pad import pad_to_patch, unpad_slices
from dd_nnunet.storage.case_store import read_case
from dd_nnunet.storage.volume import read_label_map

SHAPES = [(1, 16, 16), (16, 1, 16), (16, 16, 1), (1, 1, 1), (5, 20, 7)]


def test_a_case_smaller_than_the_patch_on_any_axis_is_prepared_as_it_is(tmp_path):
    small = {"z": (5, 16, 16), "y": (16, 6, 16), "x": (16, 16, 7), "all": (5, 6, 7)}
    volumes = cells(6) | {name: cell(9, shape) for name, shape in small.items()}
    dataset = make_faulty(tmp_path, volumes)
    assert dataset.run() == 0
    assert dataset.json("ddPlans.json")["configurations"]["3d_fullres"]["patch_size_zyx"] == [16, 16, 16]
    for name, shape in small.items():
        prepared = read_case(dataset.preprocessed / "ddPlans_3d_fullres", name)
        assert prepared.array.shape == (1, *shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_padding_to_the_patch_and_back(shape):
    array = np.random.default_rng(0).random((1, *shape)).astype(np.float32)
    padded, box = pad_to_patch(array, (16, 16, 16), (8, 8, 8))
    assert all(n >= 16 and n % 8 == 0 for n in padded.shape[1:])
    restored = np.stack(list(unpad_slices(np.moveaxis(padded, 1, 0), box)), axis=1)
    np.testing.assert_array_equal(restored, array)


def test_the_command_predicts_it_on_its_own_grid(tmp_path):
    toy = make_toy(tmp_path, patch_zyx=(16, 16, 16))
    for number, shape in enumerate(SHAPES):
        toy.add_image(f"case_{number}", noise(number, shape))
    assert toy.predict() == 0
    for number, shape in enumerate(SHAPES):
        labels = toy.labels(2, f"case_{number}")
        assert labels.shape == shape and labels.max() < 3


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_predicted_on_its_own_grid(tmp_path, shape):
    settings = PredictionSettings(AT_1_MM, choose_runtime("cpu", "float32"))
    case = preprocess_case(volume_of(cell(0, shape)), "small", AT_1_MM)
    # one voxel alone is constant, which is another story (F09)
    case.array[0, 0, 0, 0] = 1.0
    level = LevelPlan(1, 2, (1,))
    ensemble = FoldEnsemble([Threshold()], settings, LevelGroup((level,)))
    ensemble.write(case, {level: tmp_path / "small.nii.gz"})
    labels, _ = read_label_map(tmp_path / "small.nii.gz")
    np.testing.assert_array_equal(labels, case.array[0] > 0.5)


class Threshold(torch.nn.Module):
    def forward(self, x):
        return torch.cat((1 - x, x), dim=1)
