import numpy as np
import pytest

from dd_nnunet.regions import denoising
from dd_nnunet.regions.denoising import denoise, laplacian_noise_sd


def test_noise_of_white_noise_and_of_a_constant():
    noise = np.random.default_rng(0).normal(0.5, 0.1, (32, 32, 32)).astype(np.float32)
    assert laplacian_noise_sd(noise) == pytest.approx(0.1, rel=0.05)
    assert laplacian_noise_sd(np.full((4, 4, 4), 0.5, np.float32)) == 0.0


def test_noise_is_measured_beside_a_constant_background():
    image = np.zeros((32, 32, 32), np.float32)
    image[:10] = np.random.default_rng(0).normal(0.5, 0.1, (10, 32, 32))
    assert laplacian_noise_sd(image) == pytest.approx(0.1, rel=0.1)


def test_denoising_comes_nearer_to_the_truth():
    clean = np.full((12, 12, 12), 0.1)
    clean[:, 3:9, 3:9], clean[:, 5:7, 5:7] = 0.5, 0.9
    image = (clean + np.random.default_rng(3).normal(0, 0.15, clean.shape)).astype(np.float32)
    assert np.abs(denoise(image, 1.25) - clean).mean() < 0.7 * np.abs(image - clean).mean()


def test_a_volume_without_noise_stays_as_it_is():
    np.testing.assert_array_equal(denoise(np.ones((4, 4, 4), np.float32), 1.0), np.ones((4, 4, 4)))


def test_slabs_of_a_large_volume_fit_together(monkeypatch):
    image = np.random.default_rng(0).normal(0.5, 0.1, (96, 8, 8)).astype(np.float32)
    image[40:60] += 0.4
    whole = denoise(image, 1.0)
    monkeypatch.setattr(denoising, "SLAB_VOXELS", 40 * 64)
    slabs = denoise(image, 1.0)
    assert slabs.shape == whole.shape
    # the iteration stops when its energy hardly falls, in each slab on its own
    assert np.abs(slabs - whole).max() < 0.02
