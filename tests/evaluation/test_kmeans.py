import sys
from types import SimpleNamespace

import numpy as np
import pytest
from small_plan import PERCENTILES, make_configuration
from small_volumes import cell

from dd_nnunet.commands.baseline_setup import ALL_METHODS, ON_FEATURES
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.plan import LevelPlan, ObjectPlan
from dd_nnunet.evaluation.baselines import METHODS
from dd_nnunet.evaluation.baselines.denoise_kmeans import by_bm4d, by_nl_means, segment_denoised
from dd_nnunet.evaluation.baselines.kmeans import lloyd, segment_by_kmeans
from dd_nnunet.evaluation.baselines.on_features import METHODS_ON_FEATURES
from dd_nnunet.regions.nested_parts import nested_parts


def noisy(shape, seed, sd=0.05):
    """Three intensities with noise, and where they are."""
    random = np.random.default_rng(seed)
    truth = np.zeros(shape, int)
    truth[:, 3:9, 3:9], truth[:, 5:7, 5:7] = 1, 2
    image = np.array([0.1, 0.5, 0.9])[truth] + random.normal(0, sd, shape)
    return np.clip(image, 0, 1).astype(np.float32), truth


def inertia(image, parts):
    voxels = image.reshape(len(image), -1).astype(np.float64)
    labels = parts.ravel()
    means = {k: voxels[:, labels == k].mean(axis=1, keepdims=True) for k in np.unique(labels)}
    return sum(((voxels[:, labels == k] - means[k]) ** 2).sum() for k in means)


def test_parts_are_numbered_by_rising_intensity():
    image, truth = noisy((12, 12, 12), 0)
    coarse, fine = segment_by_kmeans(image[None], (2, 3))
    np.testing.assert_array_equal(fine, truth)
    assert image[coarse == 0].mean() < image[coarse == 1].mean()
    assert fine.dtype == np.uint16


def test_several_channels():
    first, truth = noisy((12, 12, 12), 0)
    second = np.array([0.2, 0.2, 0.8], np.float32)[truth]
    (parts,) = segment_by_kmeans(np.stack([first, second]), (3,))
    np.testing.assert_array_equal(parts, truth)


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("n_parts", [2, 4, 8])
def test_as_good_as_scikit_learn(n_channels, n_parts):
    cluster = pytest.importorskip("sklearn.cluster")
    image = np.stack([noisy((10, 12, 12), seed, sd=0.15)[0] for seed in range(n_channels)])
    (parts,) = segment_by_kmeans(image, (n_parts,))
    theirs = cluster.KMeans(n_parts, n_init=5, random_state=0).fit(image.reshape(n_channels, -1).T)
    # bins of 1/1024, and other starts
    assert inertia(image, parts) <= 1.01 * theirs.inertia_


def test_the_same_image_gives_the_same_parts():
    image = np.stack([noisy((8, 12, 12), seed)[0] for seed in (1, 2)])
    np.testing.assert_array_equal(segment_by_kmeans(image, (4,))[0], segment_by_kmeans(image, (4,))[0])


@pytest.mark.parametrize("n_channels", [1, 2])
def test_an_image_with_fewer_intensities_than_parts(n_channels):
    image = np.zeros((n_channels, 2, 2, 2), np.float32)
    assert segment_by_kmeans(image, (4,))[0].max() == 0
    image[:, 0] = 1.0
    parts = segment_by_kmeans(image, (4,))[0]
    assert len(np.unique(parts)) == 2 and parts[0, 0, 0] > parts[1, 0, 0]


def test_lloyd_moves_to_the_means_and_keeps_an_empty_centre():
    voxels = np.array([[0.0, 0.2, 0.8, 1.0]])
    np.testing.assert_allclose(lloyd(voxels, np.array([[0.3], [0.7], [9.0]])), [[0.1], [0.9], [9.0]])


def test_denoising_first_is_nearer_to_the_truth():
    image, truth = noisy((12, 12, 12), 3, sd=0.15)
    assert (segment_denoised(image[None], (3,))[0] == truth).mean() > (
        segment_by_kmeans(image[None], (3,))[0] == truth
    ).mean()


def test_non_local_means_too_and_no_noise_is_left_as_it_is():
    image, truth = noisy((24, 24, 24), 3, sd=0.25)
    (plain,) = segment_by_kmeans(image[None], (3,))
    (denoised,) = segment_denoised(image[None], (3,), by_nl_means)
    assert (denoised == truth).mean() > (plain == truth).mean() + 0.1
    clean = np.zeros((4, 4, 4), np.float32)
    assert by_nl_means(clean, 0.0) is clean


def test_bm4d_is_taken_where_it_is_installed_and_its_licence_is_told(monkeypatch, caplog):
    image, _ = noisy((8, 12, 12), 0)
    calls = []

    def denoise(volume, noise):
        calls.append((volume.shape, noise))
        return volume.astype(np.float64)

    monkeypatch.setitem(sys.modules, "bm4d", SimpleNamespace(bm4d=denoise))
    found = by_bm4d(image, 0.05)
    assert calls == [(image.shape, 0.05)] and found.dtype == np.float32
    assert "for non-commercial use only" in caplog.text
    monkeypatch.setitem(sys.modules, "bm4d", None)
    with pytest.raises(UserError) as refused:
        by_bm4d(image, 0.05)
    assert refused.value.where == "--method bm4d-kmeans" and "pip install bm4d" in refused.value.remedy


def test_an_image_without_noise_is_cut_as_it_is():
    image = np.zeros((6, 6, 6), np.float32)
    image[3:] = 1.0
    np.testing.assert_array_equal(segment_denoised(image[None], (2,))[0], image)


def test_thin_volumes():
    image = np.random.default_rng(0).random((1, 1, 16, 16), dtype=np.float32)
    configuration = make_configuration(
        levels=(LevelPlan(1, 2, (1,)),), normalization=(PERCENTILES,), objects=ObjectPlan((2,), (2.0,), 10.0)
    )
    for name, method in METHODS.items():
        if name == "bm4d-kmeans":
            continue
        assert method(image, configuration.levels, configuration)[0].shape == (1, 16, 16)


def test_objects_are_those_of_the_plan():
    image = cell()[None] / 100
    levels = (LevelPlan(1, 2, (1,)), LevelPlan(2, 3, (2,)))
    configuration = make_configuration(
        levels=levels, spacing_zyx_mm=(1.0, 1.0, 1.0), objects=ObjectPlan((2, 3), (5.0, 2.0), 10.0)
    )
    expected = nested_parts(image[0], configuration.objects, (1.0, 1.0, 1.0))
    for wanted in (levels, levels[1:]):
        found = METHODS["objects"](image, wanted, configuration)
        for level, parts in zip(wanted, found, strict=True):
            np.testing.assert_array_equal(parts, expected[level.level - 1])
    assert expected[0].any()


def test_the_command_offers_every_method():
    assert {*METHODS, *METHODS_ON_FEATURES} == set(ALL_METHODS)
    assert len(ALL_METHODS) == len(set(ALL_METHODS))
    assert tuple(METHODS_ON_FEATURES) == ON_FEATURES
