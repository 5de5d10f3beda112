"""Slice by slice is bit for bit what sums over the whole volume were."""

import numpy as np
import pytest
from whole_volume import convolution, whole_volume

from dd_nnunet.networks.device import choose_runtime
from dd_nnunet.prediction.align_parts import average_folds
from dd_nnunet.prediction.sliding_window import predict_slices

RUNTIME = choose_runtime("cpu", "float32")


@pytest.mark.parametrize("depth", [8, 9, 12, 17, 30])
@pytest.mark.parametrize("step_size", [0.25, 0.5, 0.7, 1.0])
def test_the_same_bits(depth, step_size):
    image = np.random.default_rng(0).random((1, depth, 11, 10), dtype=np.float32)
    slices = list(predict_slices(convolution(3), image, (8, 8, 8), RUNTIME, step_size, False))
    assert [s.shape for s in slices] == [(3, 11, 10)] * depth
    expected = whole_volume(convolution(3), image, (8, 8, 8), step_size)
    np.testing.assert_array_equal(np.stack(slices, axis=1), expected)


def test_a_slice_that_was_handed_out_stays_as_it_is():
    image = np.random.default_rng(0).random((1, 20, 8, 8), dtype=np.float32)
    slices = predict_slices(convolution(2), image, (8, 8, 8), RUNTIME, 0.5, False)
    first = next(slices)
    copy = first.copy()
    assert len(list(slices)) == 19
    np.testing.assert_array_equal(first, copy)


@pytest.mark.parametrize("n_folds", [1, 2, 3, 5, 7])
def test_the_mean_of_folds_one_by_one_is_numpys(n_folds):
    random = np.random.default_rng(n_folds)
    folds = [random.random((4, 9, 10), dtype=np.float32) for _ in range(n_folds)]
    orders = [random.permutation(4) for _ in folds]
    expected = np.mean([f[order] for f, order in zip(folds, orders, strict=True)], axis=0, dtype=np.float32)
    copies = [fold.copy() for fold in folds]
    np.testing.assert_array_equal(average_folds(iter(folds), orders), expected)
    np.testing.assert_array_equal(folds, copies)
