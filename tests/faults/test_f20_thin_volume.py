"""F20: a volume one voxel thin keeps a voxel on every axis; datasets under 8 voxels thin are refused as 2D data."""

import numpy as np
import pytest
from planned import make_faulty
from predicting import make_toy, noise
from small_plan import AT_1_MM
from small_volumes import cell, cells, volume_of

from dd_nnunet.preprocessing.case import preprocess_case, restore_labels


def test_slices_are_no_3d_data(tmp_path, capsys):
    dataset = make_faulty(tmp_path, cells(3, shape=(1, 16, 16)))
    assert dataset.run() == 2
    assert "2D data: the median volume is 1 x 16 x 16 voxels" in capsys.readouterr().err
    assert not (dataset.preprocessed / "ddPlans.json").exists()


@pytest.mark.parametrize("shape", [(16, 7, 16), (16, 16, 7)])
def test_nor_are_volumes_of_7_voxels_on_another_axis(tmp_path, capsys, shape):
    dataset = make_faulty(tmp_path, cells(3, shape=shape))
    assert dataset.run("--no_pp") == 2
    assert "every axis needs at least 8" in capsys.readouterr().err


def test_one_thin_volume_among_others_is_prepared(tmp_path):
    dataset = make_faulty(tmp_path, {**cells(3), "thin": cell(9, (1, 16, 16))})
    assert dataset.run() == 0
    assert "thin" in dataset.prepared_cases


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_axis_never_gets_zero_voxels(axis):
    shape, spacing = [16, 16, 16], [1.0, 1.0, 1.0]
    # a fifth of a prepared voxel
    shape[axis], spacing[axis] = 1, 0.2
    volume = volume_of(cell(0, shape), tuple(spacing))
    prepared = preprocess_case(volume, "thin", AT_1_MM)
    assert prepared.array.shape == (1, *shape)
    labels = np.ones(shape, np.uint8)
    np.testing.assert_array_equal(restore_labels(labels, prepared.properties), labels)


@pytest.mark.parametrize(("edge", "code"), [(7, 2), (8, 0)])
@pytest.mark.parametrize("axis", range(3))
def test_a_median_below_8_voxels_on_any_axis_is_2d(tmp_path, capsys, edge, code, axis):
    shape = [16, 16, 16]
    shape[axis] = edge
    dataset = make_faulty(tmp_path, cells(3, shape=tuple(shape)))
    assert dataset.run("--no_pp") == code
    assert ("2D data" in capsys.readouterr().err) == (code == 2)


def test_a_thin_volume_is_predicted_on_its_own_grid(tmp_path):
    toy = make_toy(tmp_path)
    # prepared at 2 mm along z: a tenth of a voxel
    toy.add_image("thin", noise(0, (1, 20, 20)), spacing_zyx=(0.2, 1.0, 1.0))
    assert toy.predict() == 0
    assert toy.labels(2, "thin").shape == (1, 20, 20)
