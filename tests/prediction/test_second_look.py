"""Levels from k-means that are decided anew by the case's own means, alone and below levels from objects."""

import dataclasses

import numpy as np
import pytest
from small_plan import CONFIGURATION

from dd_nnunet.core.case import CaseProperties, Geometry, PreparedCase
from dd_nnunet.core.level_plan import LevelPlan, ObjectPlan
from dd_nnunet.core.plan import LevelGroup
from dd_nnunet.prediction import second_look
from dd_nnunet.prediction.second_look import SecondLook

LEVELS = (LevelPlan(1, 2, (1,)), LevelPlan(2, 3, (1,)))
NESTED = LevelGroup(LEVELS, ((0, 1, 1),))
SHAPE = (2, 8, 8)


def planned(objects=None, own_means=True, smallest_component=0.0):
    segmenter = dataclasses.replace(
        CONFIGURATION.segmenter, own_means=own_means, smallest_component=smallest_component
    )
    return dataclasses.replace(CONFIGURATION, levels=LEVELS, objects=objects, segmenter=segmenter)


def case_of(image):
    geometry = Geometry(SHAPE[::-1], (1.0,) * 3, (0.0,) * 3, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    properties = CaseProperties("a", geometry, (0, 0, 0), SHAPE, SHAPE, (1.0,) * 3, ((0.0, 1.0),), ())
    return PreparedCase(image[None].astype(np.float32), properties)


def image():
    """Three columns: dark, middle, bright."""
    columns = np.full(SHAPE, 0.1)
    columns[..., 3:6], columns[..., 6:] = 0.5, 0.9
    return columns


def unsure(columns):
    """Probabilities [5,Z,Y,X] of two nested levels: part 1 is told from 2 in the last column alone."""
    inside = np.where(columns > 0.3, 0.8, 0.2)
    share = np.full(SHAPE, 0.45)
    share[..., 7:] = 0.9
    return np.stack([1 - inside, inside, 1 - inside, inside * (1 - share), inside * share])


def found_by(configuration, group=NESTED, probabilities=None):
    case = case_of(image())
    probabilities = (unsure(image()) if probabilities is None else probabilities).astype(np.float32)
    slices = (probabilities[:, z] for z in range(SHAPE[0]))
    return np.stack(list(SecondLook(configuration, group).slices(slices, case)), axis=1)


def test_a_level_is_divided_by_the_cases_own_means_within_parts():
    found = found_by(planned())
    assert found.shape == (5, *SHAPE) and set(np.unique(found)) == {0, 1}
    first, second = found[:2].argmax(axis=0), found[2:].argmax(axis=0)
    assert (first[..., :3] == 0).all() and (first[..., 3:] == 1).all()
    # the network says 1 in the last column but one, which is as bright as the last
    assert (second[..., :3] == 0).all() and (second[..., 3:6] == 1).all() and (second[..., 6:] == 2).all()


def test_a_plan_without_it_keeps_the_probabilities():
    assert np.array_equal(found_by(planned(own_means=False)), unsure(image()).astype(np.float32))


def test_below_objects_it_divides_what_the_second_pass_found(monkeypatch):
    calls = []

    def emptied(parts, volume, plan, level, spacing):
        calls.append(level)
        return np.where(np.arange(SHAPE[2]) > 3, parts, 0).astype(np.uint8)

    monkeypatch.setattr(second_look, "second_pass", emptied)
    found = found_by(planned(ObjectPlan((2,), (6.0,), 10.0)))
    assert calls == [1]
    # the fourth column is background now, at both levels
    assert (found[0, ..., 3] == 1).all() and (found[2, ..., 3] == 1).all() and (found[1, ..., 4:] == 1).all()


@pytest.mark.parametrize(("objects", "expected"), [(None, 1), (ObjectPlan((2,), (6.0,), 10.0, False), 0)])
def test_levels_from_objects_without_a_second_pass_stay_the_networks(objects, expected):
    probabilities = unsure(image())
    # the network takes a middle voxel for background
    probabilities[:2, 0, 0, 4] = 0.55, 0.45
    found = found_by(planned(objects), probabilities=probabilities)
    assert found[:2, 0, 0, 4].argmax() == expected and found[2:, 0, 0, 4].argmax() == expected
    assert found[2:, 0, 0, 6].argmax() == 2


def test_where_all_levels_start_from_objects_nothing_is_left_for_it(monkeypatch):
    monkeypatch.setattr(second_look, "second_pass", lambda parts, *_: parts)
    monkeypatch.setattr(second_look, "divide_by_own_means", None)
    found_by(planned(ObjectPlan((2, 3), (6.0, 2.0), 10.0)))


def test_a_constant_volume_stays_what_it_was():
    case, probabilities = case_of(np.zeros(SHAPE)), unsure(image())
    slices = (probabilities[:, z] for z in range(SHAPE[0]))
    kept = np.stack(list(SecondLook(planned(), NESTED).slices(slices, case)), axis=1)
    assert np.array_equal(kept, probabilities)


@pytest.mark.parametrize("own_means", [False, True])
def test_small_components_go_to_their_siblings_and_finer_levels_follow(own_means):
    columns = image()
    columns[0, 0, 0] = 0.9
    case, probabilities = case_of(columns), unsure(columns).astype(np.float32)

    def found(share):
        slices = (probabilities[:, z] for z in range(SHAPE[0]))
        look = SecondLook(planned(own_means=own_means, smallest_component=share), NESTED)
        decided = np.stack(list(look.slices(slices, case)), axis=1)
        return np.stack([decided[:2].argmax(axis=0), decided[2:].argmax(axis=0)])

    kept, without = found(0.0), found(0.5)
    assert (kept[:, 0, 0, 0] > 0).all() and (without[:, 0, 0, 0] == 0).all()
    if own_means:
        kept[:, 0, 0, 0] = 0
        assert np.array_equal(kept, without)
