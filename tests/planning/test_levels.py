import pytest
from made_fingerprint import make_case, make_description

from dd_nnunet.core.errors import UserError
from dd_nnunet.core.fingerprint import SplitFingerprint
from dd_nnunet.planning.levels import choose_parts, measured_parts
from dd_nnunet.planning.presets import Budget


def split(level, part, children, gain=0.2, chance=0.01):
    return SplitFingerprint(level, part, 0.5, children, gain, chance)


def case(*levels, **more):
    """E.g. case((2,), (1, 2)): the volume in 2, then the second part in 2."""
    splits = tuple(
        split(level, part, children, **more)
        for level, parts in enumerate(levels, start=1)
        for part, children in enumerate(parts)
    )
    return make_case(splits=splits)


WHOLE = case((1,), gain=-0.02)


def test_the_leaves_are_counted_level_by_level():
    found = measured_parts([case((2,), (1, 2), (1, 3, 1), gain=0.25)] * 4)
    assert found.n_parts == (2, 3, 5)
    assert found.children == ((2,), (1, 2), (1, 3, 1))
    assert found.because == (
        "measured: level 1 splits the volume in 2 (gain 0.25 against 0.01 of surrogates, 4 of 4 cases); "
        "level 2 splits part 1 in 2 (gain 0.25 against 0.01 of surrogates, 4 of 4 cases); "
        "level 3 splits part 1 in 3 (gain 0.25 against 0.01 of surrogates, 4 of 4 cases)"
    )


def test_a_chance_just_below_0_is_told_as_0():
    assert "against 0.00 of" in measured_parts([case((2,), chance=-0.004)]).because


def test_more_than_half_of_the_cases_are_enough_and_the_reason_counts_them():
    found = measured_parts([case((2,)), case((2,), gain=0.4), case((2,), gain=0.3), WHOLE])
    assert (found.n_parts, found.children) == ((2,), ((2,),))
    assert found.because == (
        "measured: level 1 splits the volume in 2 (gain 0.30 against 0.01 of surrogates, 3 of 4 cases)"
    )


def test_half_of_the_cases_are_not_enough_and_the_reason_says_so():
    found = measured_parts([case((2,)), case((2,)), WHOLE, WHOLE])
    assert (found.n_parts, found.children) == ((2,), ((),))
    assert found.because == (
        "no part stands out in more than half of the cases: the volume in 2 "
        "(gain 0.20 against 0.01 of surrogates, 2 of 4 cases); 2 are the fewest"
    )


def test_nothing_measured_is_nothing_that_stands_out():
    assert measured_parts([make_case(splits=())]).n_parts == (2,)


def test_the_lower_median_of_children_counts():
    assert measured_parts([case((3,)), case((2,)), case((2,)), WHOLE]).n_parts == (2,)
    assert measured_parts([case((3,)), case((3,)), case((2,)), WHOLE]).n_parts == (2,)
    assert measured_parts([case((3,)), case((3,)), case((3,)), WHOLE]).n_parts == (3,)


def test_only_cases_with_the_same_parts_vote_on_them():
    # of the two that have two parts, both split part 1; the third's part 1 is another one
    found = measured_parts([case((2,), (1, 2)), case((2,), (1, 2)), case((3,), (1, 1, 1))])
    assert found.n_parts == (2, 3)
    assert "level 2 splits part 1 in 2 (gain 0.20 against 0.01 of surrogates, 2 of 2 cases)" in found.because


def test_a_part_too_small_to_be_tried_stays_whole():
    tried = make_case(splits=(split(1, 0, 2), split(2, 1, 2)))
    assert measured_parts([tried]).children == ((2,), (1, 2))


def test_a_vote_that_no_case_agrees_with_ends_the_levels():
    # part 0 and part 1 are each split in two of three cases, but never both
    cases = [case((3,), (2, 2, 1)), case((3,), (2, 1, 2)), case((3,), (1, 2, 2))]
    assert measured_parts(cases).children == ((3,), (2, 2, 2))


def test_constant_cases_do_not_vote():
    constant = make_case(splits=(), constant=True)
    assert measured_parts([case((2,), (1, 2)), constant, constant]).n_parts == (2, 3)


def test_there_are_at_most_8_parts_and_the_least_gain_goes_first():
    splits = [split(1, 0, 3), split(2, 0, 3, 0.5), split(2, 1, 3, 0.1), split(2, 2, 3, 0.3)]
    found = measured_parts([make_case(splits=tuple(splits))])
    assert found.children == ((3,), (3, 2, 3))
    assert found.n_parts == (3, 8)


def test_what_the_user_gives_wins_and_the_paper_keeps_its_own():
    cases, described = [case((2,), (1, 2))], make_description(parts={"level1": 3, "level2": 5})
    for description, budget, expected, because in (
        (described, Budget(parts=(6,)), (6,), "given with --parts"),
        (described, Budget(preset="paper"), (3, 5), "given in dataset.json"),
        (make_description(), Budget(preset="paper"), (2, 4, 8), "preset paper; other numbers with --parts"),
    ):
        found = choose_parts(cases, description, budget)
        assert (found.n_parts, found.because) == (expected, because)
        assert found.children == ((),) * len(expected)
    assert choose_parts(cases, make_description(), Budget()).n_parts == (2, 3)


def test_given_parts_may_not_get_fewer():
    with pytest.raises(UserError, match=r"dataset.json: parts: 4 2 get fewer with depth"):
        choose_parts([WHOLE], make_description(parts={"level1": 4, "level2": 2}), Budget())
