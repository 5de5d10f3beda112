import numpy as np
from planned import cell, make_faulty
from prepared_volume import CONFIGURATION, volume_of

from dd_nnunet.preprocessing.case import preprocess_case, restore_labels, restore_probabilities

ZEROS = np.zeros((16, 16, 16), np.float32)


def test_an_all_zero_image_is_left_out_with_a_warning(tmp_path, capsys):
    dataset = make_faulty(tmp_path, {"a": cell(0), "b": cell(1), "empty": ZEROS})
    assert dataset.run() == 0
    assert "warning: empty: constant volume, left out of training" in capsys.readouterr().out
    assert dataset.prepared_cases == ["a", "b"]


def test_it_can_be_prepared_for_prediction_and_its_parts_carried_back():
    prepared = preprocess_case(volume_of(ZEROS), "empty", CONFIGURATION)
    assert prepared.array.shape == (1, 16, 16, 16) and not prepared.array.any()
    single = np.ones((1, 16, 16, 16), np.float32)
    assert not restore_probabilities(single, prepared.properties).any()
    labels = np.zeros((16, 16, 16), np.uint8)
    np.testing.assert_array_equal(restore_labels(labels, prepared.properties), labels)
