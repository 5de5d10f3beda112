"""`otsu` and `bright-cluster`, on volumes of a few voxels."""

import numpy as np
import pytest

from dd_nnunet.evaluation.baselines.bright_cluster import clusters_by_mean, segment_bright_cluster
from dd_nnunet.evaluation.baselines.bright_part import GreyImage
from dd_nnunet.evaluation.baselines.otsu import segment_otsu
from dd_nnunet.regions.intensity_classes import class_thresholds


def row(*values):
    """An image of one row of voxels, a little uneven, so that none of its values is a constant background."""
    assert len(values) >= 10
    return (np.array(values) + 1e-4 * np.arange(len(values))).astype(np.float32).reshape(1, 1, 1, -1)


def parts_of(segment, image, *n_parts):
    return [parts.ravel().tolist() for parts in segment(image, n_parts)]


def masked(inner):
    """A cube of 6³ voxels in a constant background of 10³; its inside as given."""
    image = np.zeros((1, 10, 10, 10), np.float32)
    image[0, 2:8, 2:8, 2:8] = inner
    return image


def bright_object():
    """Dark and grey halves, in the grey one a bright cube of 3³ and, apart from it, one voxel as bright."""
    inner = np.full((6, 6, 6), 0.3, np.float32)
    inner[3:] = 0.5
    inner[3:, :3, :3] = 0.9
    inner[5, 5, 5] = 0.9
    return inner


def test_otsu_keeps_the_largest_bright_component():
    #                     bright          a stray bright voxel
    image = row(0.1, 0.2, 0.9, 0.8, 0.1, 0.9, 0.2, 0.1, 0.1, 0.2)
    assert parts_of(segment_otsu, image, 2) == [[0, 0, 1, 1, 0, 0, 0, 0, 0, 0]]


def test_a_stray_voxel_falls_to_the_next_darker_part():
    image = row(0.1, 0.1, 0.5, 0.9, 0.9, 0.5, 0.9, 0.5, 0.1, 0.1)
    assert parts_of(segment_otsu, image, 3) == [[0, 0, 1, 2, 2, 1, 1, 1, 0, 0]]


@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_thresholds_are_those_of_scikit_image(n_classes):
    filters = pytest.importorskip("skimage.filters")
    values = np.random.default_rng(0).beta(2, 5, 4000)
    theirs = filters.threshold_multiotsu(values, n_classes, nbins=128)
    np.testing.assert_allclose(class_thresholds(values, n_classes), theirs, atol=2 / 128)


@pytest.mark.parametrize("segment", [segment_otsu, segment_bright_cluster])
def test_with_a_constant_background_three_parts_are_background_object_and_what_is_bright_in_it(segment):
    (parts,) = segment(masked(bright_object()), (3,))
    expected = np.ones((6, 6, 6))
    expected[3:, :3, :3] = 2
    np.testing.assert_array_equal(parts[2:8, 2:8, 2:8], expected)
    assert parts.sum() == expected.sum()
    assert parts.dtype == np.uint16


@pytest.mark.parametrize("segment", [segment_otsu, segment_bright_cluster])
def test_two_parts_are_the_bright_thing_and_the_rest(segment):
    inner = np.where(bright_object() == 0.5, np.float32(0.3), bright_object())
    (parts,) = segment(masked(inner), (2,))
    expected = np.zeros((10, 10, 10))
    expected[5:8, 2:5, 2:5] = 1
    np.testing.assert_array_equal(parts, expected)


def test_bright_pieces_stay_from_three_tenths_of_the_largest():
    #           10 voxels      3 voxels       2 voxels
    bright = [*[0.9] * 10, 0.1, *[0.9] * 3, 0.3, *[0.9] * 2, 0.5, 0.6]
    (parts,) = parts_of(segment_bright_cluster, row(*bright), 2)
    assert parts == [*[1] * 10, 0, 1, 1, 1, 0, 0, 0, 0, 0]


def test_holes_of_the_bright_cluster_are_filled():
    inner = np.full((6, 6, 6), 0.3, np.float32)
    inner[:5, :5, :5] = 0.9
    inner[2, 2, 2] = 0.3
    (parts,) = segment_bright_cluster(masked(inner), (3,))
    assert parts[4, 4, 4] == 2 and (parts == 2).sum() == 125
    # otsu leaves it
    (parts,) = segment_otsu(masked(inner), (3,))
    assert parts[4, 4, 4] == 1 and (parts == 2).sum() == 124


def test_clusters_rise_with_their_means():
    values = np.array([0.9, 0.1, 0.5, 0.5, 0.1, 0.9], np.float32)
    assert clusters_by_mean(values, 3).tolist() == [2, 0, 1, 1, 0, 2]
    # three numbers give no more than three
    assert clusters_by_mean(values, 5).tolist() == [2, 0, 1, 1, 0, 2]


def test_a_narrow_cluster_is_not_swallowed_by_a_wide_one():
    """Where k-means cuts halfway between the centres, the mixture cuts where the narrow one ends."""
    random = np.random.default_rng(0)
    wide, narrow = random.normal(0.4, 0.1, 4000), random.normal(0.8, 0.01, 400)
    values = np.concatenate([wide, narrow]).clip(0, 1).astype(np.float32)
    bright = clusters_by_mean(values, 2) == 1
    # k-means would cut at about 0.6, with 2 % of the wide cluster above it
    assert bright[4000:].mean() > 0.99 and bright[:4000].mean() < 0.005


def test_channels_are_averaged():
    first, second = row(*[0.2] * 6, *[0.8] * 6), row(*[0.1] * 3, *[0.9] * 6, *[0.1] * 3)
    # means: .15 .55 .85 .45
    expected = [0] * 3 + [1] * 3 + [2] * 3 + [1] * 3
    assert parts_of(segment_otsu, np.concatenate([first, second]), 3) == [expected]


@pytest.mark.parametrize("n_classes", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("n_parts", [2, 3, 4])
def test_every_class_is_a_part_in_order(n_classes, n_parts):
    grey = GreyImage(row(*np.linspace(0, 1, 12)))
    assert not grey.has_constant_background
    classes = np.arange(12) * n_classes // 12
    found = grey.parts(classes, n_parts, lambda mask: mask).ravel()
    assert found[0] == 0 and (np.diff(found.astype(int)) >= 0).all() and found.max() < n_parts
    if n_classes > 1:
        assert set(found[classes == n_classes - 1]) == {n_parts - 1}
    if n_parts <= n_classes:
        wanted = {0, 1} if n_parts == 2 else set(range(n_parts))
        assert set(found.tolist()) == wanted


@pytest.mark.parametrize("segment", [segment_otsu, segment_bright_cluster])
@pytest.mark.parametrize("value", [0.0, 0.7])
def test_a_constant_volume_is_background(segment, value):
    for parts in segment(np.full((2, 4, 4, 4), value, np.float32), (2, 3, 8)):
        assert not parts.any()
