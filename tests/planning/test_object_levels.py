import numpy as np
import pytest
from made_fingerprint import make_case, make_channel

from dd_nnunet.core.fingerprint import SubObjectFingerprint
from dd_nnunet.planning.object_fingerprint import measure_sub_objects
from dd_nnunet.planning.object_levels import object_levels

ONE_MM = (1.0, 1.0, 1.0)


def cell(n_balls, noise=0.03, seed=0):
    """A ball of 0.4, with balls of 0.8 in it."""
    random = np.random.default_rng(seed)
    grid = np.indices((32, 32, 32), dtype=float)

    def ball(centre, radius):
        return sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) <= radius**2

    image = 0.05 + 0.4 * ball((15.5, 15.5, 15.5), 14) + random.normal(0, noise, (32, 32, 32))
    for z, y, x in [(10, 10, 15), (21, 21, 15), (10, 21, 15), (21, 10, 15)][:n_balls]:
        image += 0.4 * ball((z, y, x), 3.5)
    return image.astype(np.float32)


def case_with(share, by_chance, **changes):
    return make_case(sub_objects=SubObjectFingerprint(share, tuple(by_chance)), **changes)


def test_balls_in_a_ball_are_more_than_chance():
    found = measure_sub_objects(cell(4), ONE_MM, (26.0, 7.0))
    assert len(found.by_chance) == 5
    # four balls of 180 voxels in one of 11500, less its rim
    assert found.share == pytest.approx(4 * 180 / 8800, rel=0.35)
    assert found.share > 3 * max(found.by_chance)


@pytest.mark.parametrize("seed", range(3))
def test_noise_in_a_ball_is_not(seed):
    found = measure_sub_objects(cell(0, noise=0.1, seed=seed), ONE_MM, (26.0, 7.0))
    assert found.share <= np.percentile(found.by_chance, 95)


def test_nothing_is_looked_for_where_there_is_no_object():
    assert measure_sub_objects(np.zeros((8, 8, 8), np.float32), ONE_MM, ()) is None
    assert measure_sub_objects(cell(0)[:4, :4, :4], ONE_MM, (26.0,)) is None


def test_the_median_has_to_beat_chance():
    cases = [case_with(0.05, [0.0] * 5), case_with(0.04, [0.01] * 5), case_with(0.0, [0.0] * 5)]
    assert object_levels(cases, (2, 4, 8)) == (
        3, "4 % of the object is in compact unusual groups, 1 % of surrogates",
    )  # fmt: skip
    cases[1] = case_with(0.009, [0.01] * 5)
    levels, because = object_levels(cases, (2, 4, 8))
    assert levels == 1 and "no more than the 1 % of surrogates" in because


def compared(objects, classes):
    return make_case(sub_objects=SubObjectFingerprint(0.05, (0.0,) * 5, objects, classes))


def test_intensities_win_where_their_outlines_cross_larger_steps():
    objects, classes = (8.0, 7.0, 6.0), (4.0, 7.5, 9.0)
    assert object_levels([compared(objects, classes)], (2, 3))[0] == 2
    levels, because = object_levels([compared(objects, classes)], (2, 4, 8))
    assert (levels, because) == (
        1,
        "5 % of the object is in compact unusual groups, but outlines of 4 kinds of intensity cross steps of 7.5 "
        "times the mean, those of objects of 7 times",
    )
    # more than five parts go by five, equal ones stay objects, and the median of the cases counts
    assert object_levels([compared(objects, classes)], (2, 9))[0] == 1
    assert object_levels([compared(objects, objects)], (2, 4))[0] == 2
    cases = [compared(objects, classes), compared((8.0, 9.0, 9.0), (4.0,) * 3), case_with(0.05, [0.0] * 5)]
    assert object_levels(cases, (2, 4))[0] == 2


def test_objects_of_noisy_balls_and_intensities_of_clean_ones_have_the_better_outlines():
    """In noise k-means tears objects apart; without it the balls of two shades are two kinds of intensity."""
    noisy = measure_sub_objects(cell(4, noise=0.25), ONE_MM, (26.0, 7.0))
    assert noisy.object_contrast[0] > noisy.class_contrast[0]
    assert len(noisy.object_contrast) == len(noisy.class_contrast) == 3
    clean = measure_sub_objects(cell(4, noise=0.01), ONE_MM, (26.0, 7.0))
    assert clean.class_contrast[0] >= 0.95 * clean.object_contrast[0]
    assert clean.object_contrast[0] > noisy.object_contrast[0]


@pytest.mark.parametrize(
    ("n_parts", "expected"),
    [((2,), 1), ((2, 2), 1), ((2, 3), 2), ((2, 3, 3), 2), ((2, 3, 4), 3), ((2, 3, 4, 5), 3), ((3, 4), 0)],
)
def test_levels_have_to_add_parts(n_parts, expected):
    assert object_levels([case_with(0.05, [0.0] * 5)], n_parts)[0] == expected


def test_one_channel_only():
    case = case_with(0.05, [0.0] * 5, channels=(make_channel(), make_channel()))
    assert object_levels([case], (2, 4)) == (0, "several channels; objects are looked for in one only")


def test_cases_without_an_object_have_no_say():
    assert object_levels([make_case(sub_objects=None)], (2, 4))[0] == 1
    assert object_levels([make_case(sub_objects=None), case_with(0.05, [0.0] * 5)], (2, 4))[0] == 2
