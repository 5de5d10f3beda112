import numpy as np
import pytest

from dd_nnunet.planning.symmetry import mirror_correlations


def test_by_hand():
    z, y, x = np.indices((3, 4, 5), dtype=float)
    # even about the middle along z, odd along y, and neither along x
    volume = (z - 1) ** 2 * (y - 1.5) * x
    correlations = mirror_correlations(volume)
    assert correlations[0] == pytest.approx(1.0)
    assert correlations[1] == pytest.approx(-1.0)
    expected = np.corrcoef(volume.ravel(), volume[:, :, ::-1].ravel())[0, 1]
    assert correlations[2] == pytest.approx(expected)
    assert abs(expected) < 0.9


def test_noise_is_not_symmetric_and_a_constant_has_no_answer():
    noise = np.random.default_rng(0).normal(size=(20, 20, 20))
    assert mirror_correlations(noise) == pytest.approx((0, 0, 0), abs=0.05)
    assert mirror_correlations(np.ones((3, 3, 3))) == (0.0, 0.0, 0.0)
