"""k-means, pseudo-labels, selection and feature windows, by hand."""

import math

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from dd_nnunet.core.plan import FeaturePlan
from dd_nnunet.objectives.consistency import consistency, represent_cells
from dd_nnunet.objectives.upsampling import axis_matrices, interpolation_matrix
from dd_nnunet.training.bounded_cache import BoundedCache
from dd_nnunet.training.feature_cache import feature_window, fit_projection
from dd_nnunet.training.kmeans import assign, kmeans, lloyd
from dd_nnunet.training.level_batches import stack_padded
from dd_nnunet.training.pseudo_labels import WarmStart, pseudo_label_loss, reseed_labels
from dd_nnunet.training.seeds import derive_seed
from dd_nnunet.training.selection import PartCounter, PartStatistics, canonical_order, selection_rank


def test_lloyd_by_hand() -> None:
    points = torch.tensor([[0.0], [1.0], [9.0], [10.0]])
    centres = lloyd(points, torch.tensor([[0.0], [1.0]]), 10)
    assert centres.flatten().tolist() == [0.5, 9.5]
    labels, distances = assign(points, centres)
    assert labels.tolist() == [0, 0, 1, 1]
    assert distances.tolist() == pytest.approx([0.25] * 4)


def test_an_empty_centre_moves_to_the_worst_served_point() -> None:
    points = torch.tensor([[0.0], [1.0], [10.0]])
    centres = lloyd(points, torch.tensor([[0.0], [500.0]]), 10)
    assert sorted(centres.flatten().tolist()) == [0.5, 10.0]


def test_kmeans_is_as_good_as_scikit_learn() -> None:
    random = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 5.0]])
    points = (centres[random.integers(0, 3, 600)] + random.normal(0, 0.5, (600, 2))).astype(np.float32)
    ours = float(assign(torch.from_numpy(points), kmeans(torch.from_numpy(points), 3, seed=0))[1].sum())
    theirs = KMeans(3, n_init=10, random_state=0).fit(points).inertia_
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_warm_start_numbers_parts_alike_in_all_cases() -> None:
    # the same three grey values, shifted in the second case: each follows its own intensities
    case = np.repeat(np.array([0.1, 0.5, 0.9], dtype=np.float32), 8)[None, :, None, None]
    first = np.tile(case, (1, 1, 8, 8))
    start = WarmStart([first, first + 0.05], n_parts=3, seed=0)
    expected = np.repeat([0, 1, 2], 8)
    assert np.array_equal(start.labels(first)[:, 4, 4], expected)
    assert np.array_equal(start.labels(first + 0.05)[:, 4, 4], expected)


def ball_in_a_box(edge: int = 24) -> np.ndarray:
    """Background 0, a ball of 0.5 with a ball of 0.8 inside, as [C,Z,Y,X]; the background trembles a little."""
    distance = np.sqrt(((np.indices((edge,) * 3) - edge / 2 + 0.5) ** 2).sum(axis=0))
    noise = np.random.default_rng(0).normal(0, 0.002, distance.shape)
    return (0.5 * (distance < 9) + 0.3 * (distance < 4) + noise).astype(np.float32)[None]


def test_a_plain_background_is_set_apart_and_outlines_get_no_part() -> None:
    image = ball_in_a_box()
    start = WarmStart([image, image], n_parts=3, seed=0)
    assert start.background == 0
    labels = start.labels(image)
    distance = np.sqrt(((np.indices((24,) * 3) - 11.5) ** 2).sum(axis=0))
    assert set(labels[distance > 10]) == {0}
    assert set(labels[(distance < 8) & (distance > 5.5)]) == {1}
    assert set(labels[distance < 3]) == {2}


def test_without_a_background_all_voxels_are_split() -> None:
    stripes = np.tile(np.repeat([0.1, 0.5, 0.9], 8)[None, :, None, None], (1, 1, 24, 24)).astype(np.float32)
    assert WarmStart([stripes], n_parts=3, seed=0).background is None


def test_an_object_of_a_few_voxels_is_no_reason_to_fail() -> None:
    image = np.zeros((1, 24, 24, 24), dtype=np.float32)
    image[:, 10:13, 10:13, 10:13] = 1
    start = WarmStart([image], n_parts=8, seed=0)
    assert start.background is None
    assert start.labels(image).max() < 8


def test_a_stack_is_filled_up_with_zeros() -> None:
    stacked = stack_padded([torch.ones(1, 2), torch.full((2, 1), 5.0)])
    assert stacked.tolist() == [[[1, 1], [0, 0]], [[5, 0], [5, 0]]]


def test_added_cells_change_no_consistency() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 3, 2, 3, 2, generator=generator)
    masks = torch.randn(1, 2, 4, 6, 4, generator=generator).softmax(dim=1)
    matrices = tuple(m[None] for m in axis_matrices((4, 6, 4), (2, 3, 2), (2, 2, 2), (0, 0, 0)))
    larger = torch.nn.functional.pad(features, (0, 1, 0, 2, 0, 1))
    padded = tuple(torch.nn.functional.pad(m, (0, n)) for m, n in zip(matrices, (1, 2, 1), strict=True))
    plain = consistency(masks, represent_cells(features, matrices), scale_free=True)
    assert torch.allclose(
        plain, consistency(masks, represent_cells(larger, padded), scale_free=True), atol=1e-6
    )


def test_dead_parts_take_the_worst_explained_voxels() -> None:
    owner = torch.zeros(1, 1, 1, 200, dtype=torch.int64)
    unexplained = torch.arange(200.0)[None]
    labels = reseed_labels(owner, unexplained, dead_parts=(1, 2)).flatten()
    # one voxel in a hundred for each: the two worst for part 1, the next two for part 2
    assert labels[[199, 198]].tolist() == [1, 1]
    assert labels[[197, 196]].tolist() == [2, 2]
    assert int(labels[:196].sum()) == 0


def test_pseudo_label_loss_by_hand() -> None:
    logits = torch.zeros(1, 2, 1, 1, 2)
    labels = torch.tensor([0, 1]).reshape(1, 1, 1, 2)
    total, cross_entropy = pseudo_label_loss(logits, labels)
    # each part: overlap 0.5, volumes 1 + 1: (2 · 0.5 + 1) / (2 + 1)
    assert float(cross_entropy) == pytest.approx(math.log(2))
    assert float(total) == pytest.approx(math.log(2) + 1 - 2 / 3)


def test_small_parts_weigh_more_in_the_pseudo_label_loss() -> None:
    # 625 voxels of part 0 and 81 of part 1, each part with the fourth root of its size: 5 to 3
    labels = torch.zeros(1, 1, 1, 706, dtype=torch.int64)
    labels[..., 625:] = 1
    logits = torch.zeros(1, 2, 1, 1, 706)
    logits[:, 0] = math.log(3.0)
    _, cross_entropy = pseudo_label_loss(logits, labels)
    assert float(cross_entropy) == pytest.approx(5 / 8 * math.log(4 / 3) + 3 / 8 * math.log(4), rel=1e-5)


def test_part_statistics_by_hand() -> None:
    counter = PartCounter(3)
    owner, largest = torch.zeros(3, 3, 3, dtype=torch.int64), torch.full((3, 3, 3), 0.8)
    owner[1, 1, 1], largest[1, 1, 1] = 1, 0.9
    counter.add(owner, largest)
    statistics = counter.statistics()
    assert statistics.shares == pytest.approx((26 / 27, 1 / 27, 0))
    assert statistics.border_shares == (1.0, 0.0, 0.0)
    assert statistics.mean_max_probability == pytest.approx((26 * 0.8 + 0.9) / 27)
    expected = math.exp(-(26 / 27) * math.log(26 / 27) - (1 / 27) * math.log(1 / 27))
    assert statistics.effective_parts == pytest.approx(expected)
    assert statistics.dead_parts == (2,)
    assert statistics.alive_parts == 2


def test_selection_prefers_living_parts_to_certainty() -> None:
    collapsed = PartStatistics((0.9, 0.1, 0.0), 0.999, 1.4, (1.0, 0.0, 0.0))
    alive = PartStatistics((0.8, 0.1, 0.1), 0.7, 1.9, (1.0, 0.0, 0.0))
    assert selection_rank([alive], "discovery") > selection_rank([collapsed], "discovery")
    assert selection_rank([alive], "discovery") > selection_rank([alive], "warm_start")
    assert selection_rank([collapsed], "discovery") > selection_rank(
        [PartStatistics((0.9, 0.1, 0.0), 0.8, 1.4, (1.0, 0.0, 0.0))], "discovery"
    )


def test_canonical_order_starts_with_the_border_and_falls() -> None:
    statistics = PartStatistics((0.1, 0.5, 0.15, 0.25), 0.9, 3.0, (0.0, 0.2, 0.8, 0.0))
    assert canonical_order(statistics) == (2, 1, 3, 0)


def test_projection_keeps_distances() -> None:
    spreads = torch.tensor([[9.0], [1], [1], [4], [2]])
    samples = torch.randn(5, 40, generator=torch.Generator().manual_seed(0)) * spreads
    plan = FeaturePlan((50,), 1, "none", 5, "image")
    mean, directions = fit_projection(samples, plan)
    projected = directions.T @ (samples - mean[:, None])
    assert torch.allclose(torch.pdist(projected.T), torch.pdist(samples.T), rtol=1e-4)
    variances = projected.var(dim=1)
    assert torch.all(variances[:-1] >= variances[1:])


def test_standardised_projection_weighs_channels_alike() -> None:
    spreads = torch.tensor([[100.0], [1], [0.01]])
    samples = torch.randn(3, 500, generator=torch.Generator().manual_seed(0)) * spreads
    plan = FeaturePlan((50,), 1, "standardise", 3, "image")
    mean, directions = fit_projection(samples, plan)
    projected = directions.T @ (samples - mean[:, None])
    expected = (samples - mean[:, None]) / samples.std(dim=1, unbiased=False, keepdim=True)
    assert torch.allclose(torch.pdist(projected.T), torch.pdist(expected.T), rtol=1e-3)


@pytest.mark.parametrize("n_components", [0, 3])
def test_whitened_components_have_unit_variance_and_none_of_rounding(n_components: int) -> None:
    two = torch.randn(2, 500, generator=torch.Generator().manual_seed(0)) * torch.tensor([[100.0], [0.1]])
    # the third channel says nothing that the first two do not
    samples = torch.cat((two, two.sum(dim=0, keepdim=True)))
    mean, directions = fit_projection(samples, FeaturePlan((50,), 1, "whiten", n_components, "image"))
    projected = directions.T @ (samples - mean[:, None])
    covariance = projected @ projected.T / projected.shape[1]
    assert torch.allclose(covariance, torch.diag(torch.tensor([1.0, 1, 0])), atol=1e-2)


@pytest.mark.parametrize("start", [0, 3, 8, 11, 24])
def test_a_window_holds_all_cells_that_a_patch_is_interpolated_from(start: int) -> None:
    reduction, cells, patch = 4, 10, 16
    first, n_cells = feature_window(patch, cells, reduction, start)
    whole = interpolation_matrix(patch, cells, reduction, start)
    outside = torch.cat((whole[:, :first], whole[:, first + n_cells :]), dim=1)
    assert float(outside.abs().sum()) == 0
    window = interpolation_matrix(patch, n_cells, reduction, start - first * reduction)
    assert torch.allclose(window, whole[:, first : first + n_cells])


def test_windows_of_all_starts_have_one_size() -> None:
    assert {feature_window(16, 10, 4, start)[1] for start in range(25)} == {7}


def test_seeds_depend_on_all_of_their_purpose() -> None:
    seeds = {derive_seed(0, "a", 1), derive_seed(0, "a", 2), derive_seed(1, "a", 1), derive_seed(0, "b", 1)}
    assert len(seeds) == 4
    assert derive_seed(0, "batch", 0) == 960968965


def test_bounded_cache_drops_what_was_used_longest_ago() -> None:
    loaded = []

    def load(name: str) -> np.ndarray:
        loaded.append(name)
        return np.zeros(10, dtype=np.uint8)

    cache: BoundedCache[np.ndarray] = BoundedCache(max_bytes=20)
    for name in ("a", "b", "a", "c", "a", "b"):
        cache.get(name, lambda name=name: load(name))
    assert loaded == ["a", "b", "c", "b"]
