"""F78: parts that folds number differently get the first fold's numbers by overlap; ties always fall the same way."""

import itertools

import numpy as np
import pytest
from predicting import make_toy, noise

from dd_nnunet.core.part_tree import PartTree
from dd_nnunet.prediction.align_parts import align_to_reference, overlap_matrix

PERMUTED = {(1, 1): (1, 0), (1, 2): (2, 0, 1)}


def aligned(overlaps):
    """Of a single level."""
    return align_to_reference([overlaps], PartTree((len(overlaps),)))


def test_a_permuted_fold_changes_no_voxel(tmp_path):
    alone, both = make_toy(tmp_path / "one"), make_toy(tmp_path / "two", n_folds=2, orders=PERMUTED)
    for number, case_id in enumerate("ab"):
        alone.add_image(case_id, noise(number))
        both.add_image(case_id, noise(number))
    assert alone.predict() == 0 and both.predict() == 0
    assert len(np.unique(alone.labels(2, "a"))) == 3, "a network that tells nothing would prove nothing"
    for level, case_id in itertools.product((1, 2), "ab"):
        np.testing.assert_array_equal(both.labels(level, case_id), alone.labels(level, case_id))
    orders = both.record["part_of_fold_for_each_part"]
    # part 0 of the first fold is output 0 of the network, which is part 1 of the second
    assert orders == {"level1": {"0": [0, 1], "1": [1, 0]}, "level2": {"0": [0, 1, 2], "1": [1, 2, 0]}}


def test_every_share_of_a_folder_gets_the_same_numbers(tmp_path):
    toy = make_toy(tmp_path, n_folds=2, orders=PERMUTED)
    for number, case_id in enumerate("abc"):
        toy.add_image(case_id, noise(number))
    (toy.images / "a_0000.nii.gz").write_bytes(b"no volume")
    assert toy.predict() == 3
    whole = {case_id: toy.labels(2, case_id) for case_id in "bc"}
    assert toy.predict("-num_parts", "2", "-part_id", "1") == 0
    np.testing.assert_array_equal(toy.labels(2, "b"), whole["b"])


@pytest.mark.parametrize("n_parts", [2, 3, 4])
def test_every_permutation_is_found_again(n_parts):
    reference = np.random.default_rng(0).integers(0, n_parts, 1000)
    for permutation in itertools.permutations(range(n_parts)):
        other = np.array(permutation)[reference]
        assert aligned(overlap_matrix(reference, other, n_parts)) == permutation


def test_ties_keep_the_own_number():
    assert aligned(np.ones((4, 4))) == (0, 1, 2, 3)
    # parts 1 and 2 share nothing with anything
    overlaps = np.zeros((3, 3))
    overlaps[0, 0] = 5
    assert aligned(overlaps) == (0, 1, 2)


def test_ties_among_other_numbers_fall_the_same_way_every_time():
    # 0 -> 1 -> 2 -> 0 is as good as 0 -> 2 -> 1 -> 0
    ring = 1 - np.eye(3)
    assert {aligned(ring) for _ in range(10)} == {(2, 0, 1)}
