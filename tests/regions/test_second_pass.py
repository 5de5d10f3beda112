"""Objects that a network found, sorted into kinds again."""

import numpy as np
import pytest
from balls_in_balls import ball, nested_balls

from dd_nnunet.core.level_plan import ObjectPlan
from dd_nnunet.regions import second_pass as rules
from dd_nnunet.regions.second_pass import second_pass

ONE_MM = (1.0, 1.0, 1.0)
PLAN = ObjectPlan((2, 4, 5), (14.0, 3.0, 2.0), 10.0)


def test_mixed_up_kinds_are_told_apart_again():
    image, (_, truth, _) = nested_balls()
    mixed = truth.copy()
    # one bright ball is called dim, a dim one is half and half
    mixed[ball(truth.shape, (21, 10, 15), 3.6)] = 2
    dim = ball(truth.shape, (10, 10, 15), 3.6)
    mixed[dim & (np.arange(32) > 15)] = 3
    np.testing.assert_array_equal(second_pass(mixed.astype(np.uint8), image, PLAN, 2, ONE_MM), truth)


def test_cores_are_found_in_what_the_network_says_are_objects():
    image, (_, second, third) = nested_balls()
    found = second_pass(second.astype(np.uint8), image, PLAN, 3, ONE_MM)
    np.testing.assert_array_equal(np.where(found >= 4, second, found), second)
    # and only in the darker kind, which alone has a kind of cores planned
    assert (found[third == 4] == 4).all() and (second[found == 4] == 2).all()


def test_crumbs_go_and_touching_objects_part():
    shape = (32, 32, 32)
    image = 0.05 + 0.35 * ball(shape, (15.5, 15.5, 15.5), 14)
    left, right = ball(shape, (15, 15, 11), 4.5), ball(shape, (15, 15, 19), 4.5)
    image[left], image[right] = 0.6, 0.9
    image += np.random.default_rng(0).normal(0, 0.02, shape)
    parts = ball(shape, (15.5, 15.5, 15.5), 14).astype(np.uint8)
    parts[left | right] = 2
    parts[8, 8, 15] = 3
    found = second_pass(parts, image.astype(np.float32), PLAN, 2, ONE_MM)
    assert found[8, 8, 15] == 1
    assert (found[left & ~right] == 2).mean() > 0.95 and (found[right & ~left] == 3).mean() > 0.95
    np.testing.assert_array_equal(found == 0, parts == 0)


@pytest.mark.parametrize("level", [1, 2])
def test_what_is_small_beside_the_object_is_none(level):
    image, (first, second, _) = nested_balls()
    said = (first if level == 1 else second).astype(np.uint8)
    with_crumb = said.copy()
    crumb = image[1:4, 1:4, 1:4]
    crumb[...], with_crumb[1:4, 1:4, 1:4] = 0.5, level
    assert second_pass(with_crumb, image, PLAN, level, ONE_MM)[1:4, 1:4, 1:4].max() == 0
    # alone it stays
    alone = np.where(np.isin(np.arange(32), (1, 2, 3)), with_crumb, 0).astype(np.uint8)
    alone[:, 4:], alone[4:] = 0, 0
    assert second_pass(alone, image, PLAN, 1, ONE_MM).any()


def test_what_the_object_encloses_is_not_background():
    image, (first, truth, _) = nested_balls()
    pierced = truth.copy()
    inside = tuple(np.argwhere((truth == 1) & (image < 0.6))[500])
    pierced[inside] = 0
    pierced[truth == 3] = 0
    found = second_pass(pierced.astype(np.uint8), image, PLAN, 2, ONE_MM)
    np.testing.assert_array_equal(found == 0, first == 0)
    np.testing.assert_array_equal(second_pass((pierced > 0).astype(np.uint8), image, PLAN, 1, ONE_MM), first)


def test_nothing_to_sort():
    image = nested_balls()[0]
    empty = np.zeros(image.shape, np.uint8)
    np.testing.assert_array_equal(second_pass(empty, image, PLAN, 2, ONE_MM), empty)
    np.testing.assert_array_equal(second_pass(empty + 1, image, PLAN, 3, ONE_MM), empty + 1)


@pytest.mark.parametrize("side", [0, 1])
def test_a_large_volume_is_denoised_around_its_objects_only(side, monkeypatch):
    # the objects of a small volume, at one side of a long one
    image, (_, second, _) = nested_balls()
    denoised = []
    real = rules.denoise

    def denoise(volume, *args):
        denoised.append(volume.shape)
        return real(volume, *args)

    monkeypatch.setattr(rules, "denoise", denoise)
    # the outline of a single object in such a volume is everywhere
    monkeypatch.setattr(rules, "sharp_outline", lambda mask, *_: mask)
    longer, parts = np.tile(image, (1, 1, 40)), np.ones((32, 32, 1280), np.uint8)
    place = slice(32 * 39 * side, 32 * 39 * side + 32)
    parts[:, :, place] = second
    found = second_pass(parts, longer, PLAN, 2, ONE_MM)
    np.testing.assert_array_equal(found, parts)
    assert len(denoised) == 4
    assert max(max(shape) for shape in denoised) <= 9 + 2 * rules.MARGIN


def test_what_is_too_large_to_be_cut_stays_one(monkeypatch):
    image, (_, second, _) = nested_balls()
    monkeypatch.setattr(rules, "LARGEST_CUT", 100)
    monkeypatch.setattr(rules, "split_touching", None)
    np.testing.assert_array_equal(second_pass(second.astype(np.uint8), image, PLAN, 2, ONE_MM), second)
