import numpy as np
import pytest
from balls_in_balls import ball, dice, nested_balls

from dd_nnunet.core.level_plan import ObjectPlan
from dd_nnunet.regions.nested_parts import ball_volume, find_object, nested_parts

ONE_MM = (1.0, 1.0, 1.0)
PLAN = ObjectPlan((2, 4, 5), (14.0, 3.0, 2.0), 10.0)


def test_every_ball_gets_its_part():
    image, truth = nested_balls()
    found = nested_parts(image, PLAN, ONE_MM)
    assert [parts.max() for parts in found] == [1, 3, 4]
    for level, (parts, true) in enumerate(zip(found, truth, strict=True), start=1):
        scores = [dice(parts == k, true == k) for k in range(true.max() + 1)]
        assert min(scores) > (0.95, 0.85, 0.7)[level - 1], scores


def test_levels_nest():
    image, _ = nested_balls(noise=0.1)
    first, second, third = nested_parts(image, PLAN, ONE_MM)
    np.testing.assert_array_equal(np.minimum(second, 1), first)
    np.testing.assert_array_equal(np.where(third >= 4, second, third), second)


def test_fewer_levels_are_the_first_ones():
    image, _ = nested_balls()
    whole = nested_parts(image, PLAN, ONE_MM)
    for n in (1, 2):
        some = nested_parts(image, ObjectPlan(PLAN.n_parts[:n], PLAN.smallest_mm[:n], 10.0), ONE_MM)
        assert len(some) == n
        for a, b in zip(some, whole, strict=False):
            np.testing.assert_array_equal(a, b)


def test_scale_does_not_matter_but_size_in_millimetres_does():
    image, _ = nested_balls()
    (_, fine), (_, same), (_, large) = (
        nested_parts(image, ObjectPlan((2, 4), smallest, 10.0), spacing)
        for smallest, spacing in (
            ((14.0, 3.0), ONE_MM), ((140.0, 30.0), (10.0,) * 3), ((14.0, 8.0), ONE_MM),
        )
    )  # fmt: skip
    np.testing.assert_array_equal(fine, same)
    # the balls are 7 to 8 mm wide: below 8 mm they are noise, but for the largest
    assert 0 < (large > 1).sum() < 0.6 * (fine > 1).sum()


def test_dark_objects_are_found_too():
    image, truth = nested_balls()
    found = nested_parts(1 - image, ObjectPlan((2, 3), (14.0, 3.0), 10.0), ONE_MM)
    assert dice(found[1] == 2, truth[1] >= 2) > 0.85


def test_touching_balls_are_two_objects_of_two_kinds():
    shape = (32, 32, 32)
    image = 0.05 + 0.35 * ball(shape, (15.5, 15.5, 15.5), 14)
    left, right = ball(shape, (15, 15, 11), 4.5), ball(shape, (15, 15, 19), 4.5)
    image = np.where(left, 0.7, np.where(right, 0.9, image)).astype(np.float32)
    image += np.random.default_rng(0).normal(0, 0.02, shape).astype(np.float32)
    parts = nested_parts(image, ObjectPlan((2, 4), (14.0, 3.0), 10.0), ONE_MM)[1]
    assert dice(parts == 2, left) > 0.85 and dice(parts == 3, right & ~left) > 0.85


def test_noise_alone_holds_hardly_any_object():
    shape = (32, 32, 32)
    image = 0.1 + 0.4 * ball(shape, (15.5, 15.5, 15.5), 14)
    image = (image + np.random.default_rng(0).normal(0, 0.1, shape)).astype(np.float32)
    parts = nested_parts(image, ObjectPlan((2, 4), (14.0, 5.0), 10.0), ONE_MM)[1]
    assert (parts > 1).sum() < 0.01 * (parts > 0).sum()


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 3, 3), (16, 5, 2)])
def test_small_volumes_have_parts_too(shape):
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    found = nested_parts(image, PLAN, ONE_MM)
    assert [parts.shape for parts in found] == [shape] * 3
    assert all(parts.max() < k for parts, k in zip(found, PLAN.n_parts, strict=True))


def test_constant_volumes_have_one_part():
    assert not any(parts.any() for parts in nested_parts(np.zeros((8, 8, 8), np.float32), PLAN, ONE_MM))


def test_a_constant_border_is_the_background():
    image = np.zeros((20, 20, 20), np.float32)
    inside = ball(image.shape, (9.5, 9.5, 9.5), 8)
    # half of the object is nearly as dark as the background
    image[inside] = np.where(np.indices(image.shape)[0] < 10, 0.05, 0.9)[inside]
    np.testing.assert_array_equal(find_object(image, ball_volume(4)), inside)


def test_specks_and_pinholes_are_no_objects():
    random = np.random.default_rng(0)
    inside = ball((24, 24, 24), (11.5, 11.5, 11.5), 8)
    image = (inside + random.normal(0, 0.02, inside.shape)).astype(np.float32)
    image[1:3, 1:3, 1:3], image[11:13, 11:13, 11:13] = 1.0, 0.0
    assert dice(find_object(image, ball_volume(8)), inside) > 0.99
    assert not find_object(image, ball_volume(8))[2, 2, 2] and find_object(image, ball_volume(8))[12, 12, 12]
    assert find_object(image, 1)[2, 2, 2] and find_object(image, 1)[12, 12, 12]


@pytest.mark.parametrize(("cavity", "is_solid"), [(4, True), (6, True), (7, False)])
def test_what_an_object_encloses_lies_in_it_but_shells_keep_their_lumen(cavity, is_solid):
    shape, middle = (24, 24, 24), (11.5, 11.5, 11.5)
    inside, hole = ball(shape, middle, 8), ball(shape, middle, cavity)
    assert (2 * (inside & ~hole).sum() >= inside.sum()) == is_solid
    random = np.random.default_rng(0)
    image = ((inside & ~hole) + random.normal(0, 0.02, shape)).astype(np.float32)
    found = find_object(image, 8)
    assert found[12, 12, 12] == is_solid
    assert dice(found, inside if is_solid else inside & ~hole) > 0.9


def test_of_two_objects_each_is_solid_or_not_for_itself():
    image = np.zeros((24, 24, 48), np.float32)
    for x, cavity in ((11.5, 4), (35.5, 7)):
        centre = (11.5, 11.5, x)
        image[ball(image.shape, centre, 8) & ~ball(image.shape, centre, cavity)] = 1
    found = find_object(image, 8)
    assert found[12, 12, 12] and not found[12, 12, 36]
