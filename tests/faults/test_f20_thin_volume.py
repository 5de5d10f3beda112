"""F20: a volume one voxel thin keeps a voxel on every axis; datasets under 8 voxels thin are refused as 2D data."""

import numpy as np
import pytest
from planned import cell, cells, make_faulty
from prepared_volume import CONFIGURATION, volume_of

from dd_nnunet.preprocessing.case import preprocess_case, restore_labels


def test_slices_are_no_3d_data(tmp_path, capsys):
    dataset = make_faulty(tmp_path, cells(3, shape=(1, 16, 16)))
    assert dataset.run() == 2
    assert "2D data: the median volume is 1 x 16 x 16 voxels" in capsys.readouterr().err
    assert not (dataset.preprocessed / "ddPlans.json").exists()


def test_one_thin_volume_among_others_is_prepared(tmp_path):
    dataset = make_faulty(tmp_path, {**cells(3), "thin": cell(9, (1, 16, 16))})
    assert dataset.run() == 0
    assert "thin" in dataset.prepared_cases


def test_an_axis_never_gets_zero_voxels():
    volume = volume_of(cell(0, (1, 16, 16)), (0.2, 1.0, 1.0))
    prepared = preprocess_case(volume, "thin", CONFIGURATION)
    assert prepared.array.shape == (1, 1, 16, 16)
    labels = np.ones((1, 16, 16), np.uint8)
    np.testing.assert_array_equal(restore_labels(labels, prepared.properties), labels)


@pytest.mark.parametrize(("edge", "code"), [(7, 2), (8, 0)])
@pytest.mark.parametrize("axis", range(3))
def test_a_median_below_8_voxels_on_any_axis_is_2d(tmp_path, capsys, edge, code, axis):
    shape = [16, 16, 16]
    shape[axis] = edge
    dataset = make_faulty(tmp_path, cells(3, shape=tuple(shape)))
    assert dataset.run("--no_pp") == code
    assert ("2D data" in capsys.readouterr().err) == (code == 2)
