"""`feat-kmeans` and `feat-gmm`: features at voxels, and clusters that mean the same in all cases."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_fold import CASES, CONFIGURATION, make_setup, train_diffusion, train_level
from small_model import contents_of

from dd_nnunet.core.plan import LevelPlan
from dd_nnunet.core.splits import Fold
from dd_nnunet.evaluation.baselines import feature_clusters, voxel_features
from dd_nnunet.evaluation.baselines.feat_gmm import cluster_by_mixture
from dd_nnunet.evaluation.baselines.feat_kmeans import cluster_by_kmeans
from dd_nnunet.evaluation.baselines.feature_clusters import FeatureClusters, equal_variance
from dd_nnunet.evaluation.baselines.on_features import METHODS_ON_FEATURES
from dd_nnunet.evaluation.baselines.voxel_features import FoldFeatures, VoxelFeatures
from dd_nnunet.objectives.upsampling import axis_matrices
from dd_nnunet.training.case_reader import CaseReader
from dd_nnunet.training.seeds import derive_seed

LEVELS = CONFIGURATION.levels


@pytest.fixture(scope="module")
def fold(tmp_path_factory):
    """A fold whose diffusion model is trained, and no more."""
    root = tmp_path_factory.mktemp("fold")
    setup = make_setup(root / "prepared", seed=3)
    train_diffusion(setup, root / "fold_0")
    return root / "fold_0", setup


@pytest.fixture
def features(fold, tmp_path):
    folder, setup = fold
    return FoldFeatures(setup, folder, tmp_path / "own", LEVELS)


def one_cell_per_voxel(*values):
    """Features of a volume, one array [Z,Y,X] per channel."""
    cells = torch.from_numpy(np.stack(values).astype(np.float32))
    shape = tuple(cells.shape[1:])
    return VoxelFeatures(shape, {1: cells}, {1: axis_matrices(shape, shape, (1, 1, 1), (0, 0, 0))})


def test_features_at_voxels_are_interpolated(monkeypatch):
    coarse = torch.randn(3, 2, 3, 2, generator=torch.Generator().manual_seed(0))
    fine = torch.randn(1, 4, 6, 4, generator=torch.Generator().manual_seed(1))
    shape = (4, 6, 4)
    voxels = VoxelFeatures(
        shape,
        {1: coarse, 2: fine},
        {
            1: axis_matrices(shape, (2, 3, 2), (2, 2, 2), (0, 0, 0)),
            2: axis_matrices(shape, shape, (1, 1, 1), (0, 0, 0)),
        },
    )
    raised = torch.nn.functional.interpolate(coarse[None], size=shape, mode="trilinear")[0]
    expected = torch.cat([raised, fine]).flatten(1).T
    # slabs of one slice, of three and one, of all
    for n_values, lengths in ((1, [24] * 4), (4 * 24 * 3, [72, 24]), (2**20, [96])):
        monkeypatch.setattr(voxel_features, "SLAB_VALUES", n_values)
        slabs = list(voxels.slabs())
        assert [len(slab) for slab in slabs] == lengths
        torch.testing.assert_close(torch.cat(slabs), expected)
        numbers = torch.tensor([0, 23, 24, 70, 95])
        torch.testing.assert_close(voxels.at(numbers), expected[numbers])
    assert voxels.widths == (3, 1)
    torch.testing.assert_close(torch.cat(list(voxels.of_stages([2]).slabs())), expected[:, 3:])


def test_stages_count_the_same():
    sample = torch.tensor([[0.0, 0.0, 5.0], [4.0, 0.0, 5.0], [0.0, 4.0, 7.0], [4.0, 4.0, 7.0]])
    # variances 16/3 + 16/3 and 4/3
    scaled = sample * equal_variance(sample, (2, 1))
    torch.testing.assert_close(scaled[:, :2].var(dim=0).sum(), torch.tensor(1.0))
    torch.testing.assert_close(scaled[:, 2].var(), torch.tensor(1.0))
    # within a stage nothing changes
    torch.testing.assert_close(scaled[1, 0], scaled[2, 1])


@pytest.mark.parametrize("cluster", [cluster_by_kmeans, cluster_by_mixture])
def test_clusters_are_numbered_alike_in_every_case(cluster):
    """Background at the border; of two kinds of objects, the one that is larger over all cases comes first."""
    truth = np.zeros((8, 8, 8), int)
    truth[2:6, 2:6, 2:6], truth[2:4, 2:4, 2:4] = 1, 2
    # in the second case the object of kind 2 is the larger one, but not over both cases
    other = np.zeros((8, 8, 8), int)
    other[2:6, 2:6, 3:6], other[2:4, 2:4, 3:4] = 2, 1
    other = np.where(np.arange(8) < 4, truth, other)
    random = np.random.default_rng(0)

    def channels(labels):
        means = np.array([[55.0, 50.0], [47.0, 52.0], [50.0, 59.0]])[labels]
        return one_cell_per_voxel(*np.moveaxis(means + random.normal(0, 0.1, means.shape), -1, 0))

    cases = {"a": channels(truth), "b": channels(other), "new": channels(truth[::-1])}
    fake = SimpleNamespace(
        setup=SimpleNamespace(seed=0, fold=Fold(("a", "b"), ())),
        of_training_case=lambda case_id, stages: cases[case_id].of_stages(stages),
        of_image=lambda image: cases["new"],
    )
    counts = np.bincount(truth.ravel()) + np.bincount(other.ravel())
    assert counts[1] > counts[2]
    level = LevelPlan(1, 3, (1,))
    (parts,) = FeatureClusters(cluster, fake, [level])(None, [level], None)
    np.testing.assert_array_equal(parts, truth[::-1])
    assert parts.dtype == np.uint16


def test_a_mixture_tells_a_dense_cluster_from_a_wide_one_around_it():
    random = np.random.default_rng(0)
    sample = np.concatenate([random.normal(0, 4, (2000, 3)), random.normal(1, 0.05, (2000, 3))])
    truth = np.repeat([0, 1], 2000)
    points = torch.from_numpy(sample.astype(np.float32))
    by_kmeans, by_mixture = (
        METHODS_ON_FEATURES[name](points, 2, 0)(points).numpy() for name in ("feat-kmeans", "feat-gmm")
    )
    agreement = [max((found == truth).mean(), (found != truth).mean()) for found in (by_kmeans, by_mixture)]
    assert agreement[0] < 0.9 and agreement[1] > 0.99


def test_features_are_those_that_training_has(fold, tmp_path):
    folder, setup = fold
    trained = tmp_path / "fold_0"
    for path in contents_of(folder):
        if path.startswith("diffusion/checkpoint_final"):
            (trained / path).parent.mkdir(parents=True, exist_ok=True)
            (trained / path).write_bytes((folder / path).read_bytes())
    own = FoldFeatures(setup, trained, tmp_path / "own", LEVELS)
    assert own.cache.folder == tmp_path / "own"
    train_level(setup, trained, LEVELS[0])
    before = contents_of(trained)
    read = FoldFeatures(setup, trained, tmp_path / "unused", LEVELS)
    assert read.cache.folder == trained / "features" and not (tmp_path / "unused").exists()
    for case_id in setup.fold.train:
        for stage in (1, 2):
            np.testing.assert_array_equal(
                own.cache.features(case_id, stage), read.cache.features(case_id, stage)
            )
    # of another seed they are not the fold's; it keeps them all the same
    other = FoldFeatures(dataclasses.replace(setup, seed=4), trained, tmp_path / "other", LEVELS)
    assert other.cache.folder == tmp_path / "other"
    assert contents_of(trained) == before


def test_any_volume_is_read_as_a_training_case_is(features, monkeypatch):
    case_id = CASES[0]
    monkeypatch.setattr(
        voxel_features, "derive_seed", lambda seed, *purpose: derive_seed(seed, "features", case_id)
    )
    image = features.setup.reader.image(case_id)
    read, computed = features.of_training_case(case_id, (1, 2)), features.of_image(image)
    assert read.shape_zyx == computed.shape_zyx == (16, 16, 16)
    for stage in (1, 2):
        torch.testing.assert_close(read.cells[stage], computed.cells[stage], rtol=0, atol=0)


@pytest.mark.parametrize("resized", [False, True])
def test_features_lie_over_the_volume_without_its_padding(tmp_path, resized):
    """Volumes smaller than the patch, padded to it, or resized to a grid."""
    shape = (12, 16, 14)
    setup = make_setup(tmp_path / "prepared", shapes=(shape,) * 6)
    diffusion = dataclasses.replace(CONFIGURATION.diffusion, grid_zyx=(8, 8, 8) if resized else None)
    seen = dataclasses.replace(CONFIGURATION.features, visual_target="image")
    plan = dataclasses.replace(CONFIGURATION, diffusion=diffusion, features=seen)
    setup = dataclasses.replace(setup, configuration=plan, reader=CaseReader(tmp_path / "prepared", plan))
    train_diffusion(setup, tmp_path / "fold_0")
    features = FoldFeatures(setup, tmp_path / "fold_0", tmp_path / "own", LEVELS[:1])
    box = setup.reader.box(CASES[0])
    voxels = features.of_image(setup.reader.image(CASES[0])[(slice(None), *box)])
    assert voxels.shape_zyx == shape
    size = shape if resized else (16, 16, 16)
    expected = torch.nn.functional.interpolate(voxels.cells[1][None], size=size, mode="trilinear")[0]
    if not resized:
        expected = expected[(slice(None), *box)]
    torch.testing.assert_close(torch.cat(list(voxels.slabs())), expected.flatten(1).T, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS_ON_FEATURES)
def test_the_same_fold_gives_the_same_parts(features, monkeypatch, method):
    monkeypatch.setattr(feature_clusters, "MAX_VOXELS", 1000)
    image = features.setup.reader.image(CASES[4])
    first, second = (
        FeatureClusters(METHODS_ON_FEATURES[method], features, LEVELS)(image, LEVELS, CONFIGURATION)
        for _ in range(2)
    )
    for level, a, b in zip(LEVELS, first, second, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.shape == (16, 16, 16) and a.max() < level.n_parts
    # a level is the same whatever others are asked for
    only = FeatureClusters(METHODS_ON_FEATURES[method], features, LEVELS[1:])
    np.testing.assert_array_equal(only(image, LEVELS[1:], CONFIGURATION)[0], first[1])
