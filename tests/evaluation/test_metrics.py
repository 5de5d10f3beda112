import numpy as np
import pytest
import SimpleITK
from scipy.spatial.distance import cdist

from dd_nnunet.evaluation.metrics import (
    bootstrap_interval,
    diagonal_mm,
    dice_and_iou,
    hd95_mm,
    mean_over_classes,
    mean_over_images,
)


def box(shape, start, stop):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
    return mask


def blob(seed, shape=(12, 10, 14)):
    random = np.random.default_rng(seed)
    z, y, x = np.indices(shape)
    centre = [s / 2 + random.uniform(-1.5, 1.5) for s in shape]
    radius = random.uniform(2.5, 4)
    mask = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < radius**2
    return mask & (random.random(shape) > 0.1)


def slow_surface(mask, spacing):
    """Positions in mm of the mask's voxels that have a face neighbour outside it."""
    padded = np.pad(mask, 1)
    points = []
    for z, y, x in np.argwhere(padded):
        steps = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
        if not all(padded[z + a, y + b, x + c] for a, b, c in steps):
            points.append(np.multiply((z, y, x), spacing))
    return np.array(points)


def slow_hd95(first, second, spacing):
    distances = cdist(slow_surface(first, spacing), slow_surface(second, spacing))
    return np.percentile(np.concatenate([distances.min(axis=1), distances.min(axis=0)]), 95)


def test_dice_and_iou_by_hand():
    assert dice_and_iou(tp=2, fp=1, fn=1) == (4 / 6, 2 / 4)
    assert dice_and_iou(tp=0, fp=3, fn=0) == (0.0, 0.0)
    assert dice_and_iou(tp=0, fp=0, fn=0) == (None, None)


def test_hd95_of_two_single_voxels_is_their_distance():
    first, second = box((8, 8, 8), (1, 1, 1), (2, 2, 2)), box((8, 8, 8), (4, 1, 1), (5, 2, 2))
    assert hd95_mm(first, second, (1, 1, 1)) == 3.0
    assert hd95_mm(first, second, (2.5, 1, 1)) == 7.5


def test_hd95_takes_the_95th_percentile_not_the_largest():
    # 20 equal voxels, and a 21st far away in one mask only: 1 of 41 distances is 30 mm
    first = box((60, 1, 1), (0, 0, 0), (20, 1, 1))
    second = first.copy()
    second[49] = True
    assert hd95_mm(first, second, (1, 1, 1)) == 0.0
    second[47:50] = True
    # now 3 of 43 distances are 28, 29, 30 mm, and position 0.95·42 = 39.9 lies nine tenths before the first
    assert hd95_mm(first, second, (1, 1, 1)) == pytest.approx(0.9 * 28)


def test_hd95_of_empty_masks():
    some, none = box((3, 4, 5), (0, 0, 0), (1, 1, 1)), np.zeros((3, 4, 5), bool)
    assert hd95_mm(none, none, (1, 1, 1)) is None
    diagonal = np.sqrt(6**2 + 4**2 + 5**2)
    assert hd95_mm(some, none, (2, 1, 1)) == pytest.approx(diagonal)
    assert hd95_mm(none, some, (2, 1, 1)) == pytest.approx(diagonal)
    assert diagonal_mm((3, 4, 5), (2, 1, 1)) == pytest.approx(diagonal)


@pytest.mark.parametrize("seed", range(4))
def test_hd95_equals_the_slow_definition(seed):
    first, second, spacing = blob(seed), blob(seed + 50), (1.5, 0.7, 1.0)
    assert hd95_mm(first, second, spacing) == pytest.approx(slow_hd95(first, second, spacing))
    assert hd95_mm(first, second, spacing) == hd95_mm(second, first, spacing)


def test_hd95_agrees_with_simpleitk_distances():
    first, second, spacing = blob(1), blob(2), (2.0, 1.0, 0.5)
    images = []
    for mask in (first, second):
        # contours at the image border need a voxel of outside around them
        image = SimpleITK.GetImageFromArray(np.pad(mask, 1).astype(np.uint8))
        image.SetSpacing(spacing[::-1])
        images.append(SimpleITK.LabelContour(image, fullyConnected=False))
    distances = []
    for contour, other in (images, images[::-1]):
        far = SimpleITK.Abs(
            SimpleITK.SignedMaurerDistanceMap(other, squaredDistance=False, useImageSpacing=True)
        )
        distances.append(SimpleITK.GetArrayFromImage(far)[SimpleITK.GetArrayFromImage(contour) > 0])
    assert hd95_mm(first, second, spacing) == pytest.approx(
        np.percentile(np.concatenate(distances), 95), rel=1e-5
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_hd95_is_near_the_surface_distance_package():
    surface_distance = pytest.importorskip("surface_distance")
    shape, spacing = (24, 24, 24), (1.0, 1.0, 1.0)
    z, y, x = np.indices(shape)
    first = (z - 11) ** 2 + (y - 11) ** 2 + (x - 11) ** 2 < 7**2
    second = (z - 13) ** 2 + (y - 11) ** 2 + (x - 11) ** 2 < 8**2
    theirs = surface_distance.compute_surface_distances(first, second, spacing)
    robust = surface_distance.compute_robust_hausdorff(theirs, 95)
    # theirs is the larger one-way percentile, between voxels and weighted by area
    assert hd95_mm(first, second, spacing) == pytest.approx(robust, abs=0.5)


def test_means_leave_out_what_is_not_defined():
    scores = np.array([[1.0, np.nan], [0.5, 0.25], [np.nan, np.nan]])
    np.testing.assert_allclose(mean_over_images(scores), [0.75, 0.25])
    assert mean_over_classes(scores) == 0.5
    assert np.isnan(mean_over_classes(np.full((2, 2), np.nan)))


def test_bootstrap_of_equal_scores_is_a_point():
    assert bootstrap_interval(np.full((5, 1), 0.7)) == pytest.approx((0.7, 0.7))


def test_bootstrap_is_seeded_and_needs_two_images():
    scores = np.random.default_rng(0).random((10, 3))
    assert bootstrap_interval(scores) == bootstrap_interval(scores)
    assert bootstrap_interval(scores[:1]) is None
    assert bootstrap_interval(np.full((3, 1), np.nan)) is None


def test_bootstrap_agrees_with_the_normal_interval():
    scores = np.random.default_rng(1).normal(0.6, 0.1, (400, 1))
    lower, upper = bootstrap_interval(scores, n_resamples=4000)
    half = 1.96 * scores.std() / 20
    assert lower == pytest.approx(scores.mean() - half, abs=1e-3)
    assert upper == pytest.approx(scores.mean() + half, abs=1e-3)
