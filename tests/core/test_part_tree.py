"""Parts that lie in parts, by hand."""

import numpy as np
import pytest

from dd_nnunet.core.level_plan import LevelGroup, LevelPlan, ObjectPlan
from dd_nnunet.core.part_tree import PartTree, chosen_within, consecutive, shared_out

# 0 | 1 -> 0 | 1 2 -> 0 | 1 3 | 2
TREE = PartTree((2, 3, 4), ((0, 1, 1), (0, 1, 2, 1)))


def test_parts_of_all_levels_stand_behind_each_other():
    assert (TREE.n_levels, TREE.n_channels) == (3, 9)
    assert TREE.channels == (slice(0, 2), slice(2, 5), slice(5, 9))
    assert TREE.children(0, 1) == (1, 2)
    assert TREE.children(1, 1) == (1, 3)
    assert TREE.children(2, 1) == ()


def test_the_choice_goes_from_the_top():
    # one voxel: part 1 of the first level, although part 0 is the most probable one below
    probabilities = np.array([0.4, 0.6, 0.5, 0.2, 0.3, 0.9, 0.04, 0.01, 0.05])[:, None]
    assert [labels.tolist() for labels in TREE.decide(probabilities)] == [[1], [2], [2]]
    # of equal ones the first wins
    assert [labels.tolist() for labels in TREE.decide(np.zeros((9, 1)))] == [[0], [0], [0]]


def test_what_is_chosen_nests_everywhere():
    probabilities = np.random.default_rng(0).random((9, 5, 6))
    first, second, third = TREE.decide(probabilities)
    np.testing.assert_array_equal(np.array(TREE.parents[0])[second], first)
    np.testing.assert_array_equal(np.array(TREE.parents[1])[third], second)
    np.testing.assert_array_equal(TREE.coarser(third, 2), [first, second])
    best = TREE.best_within(probabilities[TREE.channels[2]], 2)
    np.testing.assert_array_equal(chosen_within(best, second), third)
    again = TREE.decide(TREE.one_hot([first, second, third]))
    np.testing.assert_array_equal(again, [first, second, third])


def test_parts_with_the_same_below_them_have_the_same_form():
    wide = PartTree((2, 4, 6), ((0, 0, 1, 1), (0, 0, 1, 2, 3, 3)))
    assert wide.shape_below(0, 0) == wide.shape_below(0, 1)
    assert wide.shape_below(1, 0) == wide.shape_below(1, 3) != wide.shape_below(1, 1)


@pytest.mark.parametrize("parents", [(), ((0, 1),), ((0, 0, 0),), ((0, 1, 2),)])
def test_a_part_without_a_place_is_refused(parents):
    with pytest.raises(ValueError, match="parents"):
        PartTree((2, 3), parents)


def test_parents_that_nobody_stated():
    assert consecutive((1, 3)) == (0, 1, 1, 1)
    assert shared_out(2, 4) == (0, 1, 1, 1)
    assert shared_out(4, 8) == (0, 1, 1, 1, 2, 2, 3, 3)
    assert shared_out(3, 3) == (0, 1, 2)


def test_parents_of_a_level():
    assert LevelPlan(2, 4, (1,), (1, 3)).parents(2) == (0, 1, 1, 1)
    assert LevelPlan(2, 4, (1,)).parents(2) == (0, 1, 1, 1)
    with pytest.raises(ValueError, match="fewer than the 5 before it"):
        LevelPlan(2, 4, (1,)).parents(5)


def test_parents_of_objects_and_cores():
    objects = ObjectPlan((2, 4, 7), (8.0, 4.0, 2.0), 10.0)
    assert objects.parents(2) == (0, 1, 1, 1)
    # two kinds of cores in kind 2, one in kind 3
    assert objects.core_kinds == (2, 1)
    assert objects.parents(3) == (0, 1, 2, 3, 2, 2, 3)


def test_names_of_groups():
    one, two = LevelPlan(1, 2, (1,)), LevelPlan(2, 3, (1,))
    assert (LevelGroup((two,)).name, LevelGroup((two,)).folder) == ("level 2", "level2")
    both = LevelGroup((one, two), ((0, 1, 1),))
    assert (both.name, both.folder, both.nested) == ("levels 1 2", "levels", True)
    assert both.tree == PartTree((2, 3), ((0, 1, 1),))
