import itertools

import numpy as np
import pytest

from dd_nnunet.core.errors import UserError
from dd_nnunet.evaluation.matching import (
    count_nesting,
    count_overlap,
    dice_matrix,
    hsu_dice,
    match_parts,
    missing_prediction,
    nesting_violations,
    strict_dice,
)

CLASSES = {"background": (0,), "cell": (1,), "nucleus": (2,)}
MERGED = {"background": (0,), "cell": (1, 2)}


def line(*values):
    """A volume [1,1,X]."""
    return np.array([[values]], np.uint8)


def slow_dice(prediction, truth, n_parts, classes):
    """Dice by its definition, voxel by voxel."""
    rows = []
    for part in range(n_parts):
        row = []
        for merged in classes.values():
            pairs = list(zip(prediction.ravel(), truth.ravel(), strict=True))
            both = sum(p == part and t in merged for p, t in pairs)
            either = sum(p == part for p, _ in pairs) + sum(t in merged for _, t in pairs)
            row.append(2 * both / either if either else np.nan)
        rows.append(row)
    return np.array(rows)


def test_dice_of_every_part_with_every_class():
    prediction = line(0, 0, 1, 1)
    truth = line(0, 1, 1, 2)
    expected = [[2 / 3, 2 / 4, 0.0], [0.0, 2 / 4, 2 / 3]]
    np.testing.assert_allclose(dice_matrix(prediction, truth, 2, CLASSES), expected)


def test_dice_is_nan_where_both_are_empty():
    dice = dice_matrix(line(0, 0), line(0, 0), 2, CLASSES)
    assert np.isnan(dice[1, 1]) and np.isnan(dice[1, 2])
    assert dice[0, 0] == 1.0 and dice[0, 1] == 0.0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("classes", [CLASSES, MERGED, {"whole": (1, 2), "core": (2,)}])
def test_dice_equals_the_slow_definition(seed, classes):
    random = np.random.default_rng(seed)
    prediction = random.integers(0, 4, (3, 4, 5)).astype(np.uint8)
    truth = random.integers(0, 3, (3, 4, 5)).astype(np.uint16)
    np.testing.assert_allclose(
        dice_matrix(prediction, truth, 4, classes), slow_dice(prediction, truth, 4, classes)
    )


def test_labels_of_no_class_are_counted():
    overlap = count_overlap(line(0, 0, 1, 1), line(0, 7, 7, 9), 2, CLASSES)
    assert overlap.unexpected == {7: 2, 9: 1}
    assert overlap.class_voxels.tolist() == [1, 0, 0]
    assert overlap.part_voxels.tolist() == [2, 2]
    assert overlap.n_voxels == 4


def test_a_part_that_the_model_does_not_have_is_refused():
    with pytest.raises(UserError, match=r"a\.nii: holds parts 0 to 2; allowed: 0 to 1"):
        count_overlap(line(0, 2), line(0, 1), 2, CLASSES, where="a.nii")


def test_another_shape_is_refused():
    with pytest.raises(UserError, match="has shape"):
        count_overlap(line(0, 1), line(0, 1, 1), 2, CLASSES)


def test_hsu_takes_the_best_matching_of_the_image():
    # parts 0 and 1 swapped: a perfect segmentation under other names
    overlap = count_overlap(line(1, 1, 0, 0), line(0, 0, 1, 1), 2, MERGED)
    assert hsu_dice(overlap) == 1.0


def test_hsu_averages_over_the_smaller_number_of_classes():
    # two parts, three classes: part 0 = background (2/3), part 1 = nucleus (2/3); cell is left over
    assert hsu_dice(count_overlap(line(0, 0, 1, 1), line(0, 1, 1, 2), 2, CLASSES)) == pytest.approx(2 / 3)
    # three parts, two classes present
    assert hsu_dice(count_overlap(line(0, 0, 1, 2), line(0, 0, 1, 1), 3, CLASSES)) == pytest.approx(
        (1 + 2 / 3) / 2
    )


def test_hsu_does_not_reward_a_collapsed_model():
    # one part takes everything: Dice 2·3/7 with the background; the dead part earns 0
    assert hsu_dice(count_overlap(line(0, 0, 0, 0), line(0, 0, 0, 1), 2, MERGED)) == pytest.approx(6 / 7 / 2)


def test_hsu_leaves_out_classes_that_are_not_in_the_image():
    assert hsu_dice(count_overlap(line(0, 0), line(0, 0), 2, CLASSES)) == 1.0


def test_hsu_equals_a_search_over_all_matchings():
    random = np.random.default_rng(0)
    for _ in range(5):
        prediction, truth = random.integers(0, 3, (2, 4, 4, 4)).astype(np.uint8)
        dice = dice_matrix(prediction, truth, 3, CLASSES)
        best = max(
            np.mean([dice[p, c] for c, p in enumerate(order)]) for order in itertools.permutations(range(3))
        )
        assert hsu_dice(count_overlap(prediction, truth, 3, CLASSES)) == pytest.approx(best)


def test_strict_has_one_label_map_for_all_images():
    # image 1 says part 1 = cell, image 2 says part 0 = cell, more weakly
    overlaps = [
        count_overlap(line(0, 0, 1, 1), line(0, 0, 1, 1), 2, MERGED),
        count_overlap(line(0, 0, 0, 1), line(1, 1, 0, 0), 2, MERGED),
    ]
    assert match_parts(overlaps) == (0, 1)
    np.testing.assert_allclose(strict_dice(overlaps[0], (0, 1)), [1.0, 1.0])
    np.testing.assert_allclose(strict_dice(overlaps[1], (0, 1)), [2 / 5, 0.0])
    assert hsu_dice(overlaps[1]) > np.mean(strict_dice(overlaps[1], (0, 1)))


def test_strict_scores_classes_without_a_part_zero():
    overlap = count_overlap(line(0, 0, 1, 1), line(0, 0, 2, 1), 2, CLASSES)
    label_map = match_parts([overlap])
    assert label_map.count(None) == 1
    scores = strict_dice(overlap, label_map)
    assert sorted(scores) == pytest.approx([0.0, 2 / 3, 1.0])


def test_strict_does_not_match_without_overlap():
    # no image holds a nucleus: a spare part must not be called one
    overlap = count_overlap(line(0, 0, 1, 2), line(0, 0, 1, 1), 3, CLASSES)
    assert match_parts([overlap])[2] is None
    assert np.isnan(strict_dice(overlap, (0, 1, None))[2])


def test_a_missing_prediction_scores_zero_for_every_class_in_the_truth():
    overlap = missing_prediction(line(0, 0, 1, 1), 2, CLASSES)
    np.testing.assert_equal(strict_dice(overlap, (0, 1, None)), [0.0, 0.0, np.nan])
    assert hsu_dice(overlap) == 0.0
    assert match_parts([overlap]) == (None, None, None)


def test_nesting_violations_by_hand():
    fine = line(0, 0, 1, 1, 1, 1, 2, 2)
    coarse = line(0, 0, 1, 1, 1, 0, 1, 0)
    shared = count_nesting(fine, coarse, 4, 2)
    assert shared.tolist() == [[2, 0], [1, 3], [1, 1], [0, 0]]
    np.testing.assert_equal(nesting_violations(shared), [0.0, 0.25, 0.5, np.nan])
