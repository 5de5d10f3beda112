"""Where a second pass is planned, and what of a prediction it changes."""

import dataclasses

import numpy as np
import pytest
import torch
from small_plan import CONFIGURATION

from dd_nnunet.core.case import CaseProperties, Geometry, PreparedCase
from dd_nnunet.core.level_plan import LevelPlan, ObjectPlan
from dd_nnunet.core.plan import LevelGroup
from dd_nnunet.networks.device import choose_runtime
from dd_nnunet.prediction import second_look
from dd_nnunet.prediction.predict_case import FoldEnsemble, PredictionSettings
from dd_nnunet.storage.case_store import read_array

LEVELS = (LevelPlan(1, 2, (1,)), LevelPlan(2, 3, (1,)))
OBJECTS = ObjectPlan((2, 3), (6.0, 2.0), 10.0)
SHAPE = (12, 16, 16)


class Thresholds(torch.nn.Module):
    """Part 1 above 0.3, part 2 above 0.6, in a network's form."""

    def __init__(self, n_parts):
        super().__init__()
        self.n_parts = n_parts

    def forward(self, x):
        logits = (x, 2 * x - 0.3, 4 * x - 1.5)
        return 20 * torch.cat(logits[: self.n_parts], dim=1)


def configuration(second_pass=True):
    objects = dataclasses.replace(OBJECTS, second_pass=second_pass)
    return dataclasses.replace(CONFIGURATION, levels=LEVELS, objects=objects)


@pytest.fixture
def passes(monkeypatch):
    """Calls of the second pass, which calls part 2 part 1 and nothing else."""
    calls = []

    def second_pass_of(parts, volume, plan, level, spacing):
        calls.append((volume.shape, plan, level, spacing))
        return np.minimum(parts, 1)

    monkeypatch.setattr(second_look, "second_pass", second_pass_of)
    return calls


def predicted(tmp_path, level, planned, **kwargs):
    image = np.zeros((1, *SHAPE), np.float32)
    image[:, 2:10, 2:14, 2:14], image[:, 4:7, 5:8, 5:8] = 0.4, 0.8
    geometry = Geometry(SHAPE[::-1], (1.0,) * 3, (0.0,) * 3, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    properties = CaseProperties("a", geometry, (0, 0, 0), SHAPE, SHAPE, (1.0,) * 3, ((0.0, 1.0),), ())
    settings = PredictionSettings(planned, choose_runtime("cpu", "float32"), mirror=False, **kwargs)
    ensemble = FoldEnsemble([Thresholds(level.n_parts)], settings, LevelGroup((level,)))
    return ensemble.write(PreparedCase(image, properties), {level: tmp_path / "a.nii.gz"})[level]


def test_the_second_level_is_sorted_again_and_the_probabilities_are_the_networks(tmp_path, passes):
    planned = configuration()
    labels = predicted(tmp_path, LEVELS[1], planned, save_probabilities=True)
    assert passes == [(SHAPE, planned.objects, 2, (1.0, 1.0, 1.0))]
    assert sorted(np.unique(labels)) == [0, 1] and labels[5, 6, 6] == 1
    kept = read_array(tmp_path / "a.b2nd")
    assert kept.shape == (3, *SHAPE) and (kept.argmax(axis=0) == 2).sum() == 27


def test_the_outline_of_the_object_is_looked_at_again(tmp_path, passes):
    assert predicted(tmp_path, LEVELS[0], configuration()).max() == 1
    assert [level for _, _, level, _ in passes] == [1]


def test_a_plan_can_leave_it_out(tmp_path, passes):
    assert predicted(tmp_path, LEVELS[1], configuration(second_pass=False)).max() == 2
    assert not passes


def test_it_is_sorted_on_the_prepared_grid(tmp_path):
    labels = predicted(tmp_path, LEVELS[1], configuration())
    assert labels.shape == SHAPE and (labels == 2).sum() == 27
