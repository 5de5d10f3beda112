from dataclasses import replace

import pytest
from golden_plans import PLANS

from dd_nnunet.planning.edited_plan import edited_values
from dd_nnunet.planning.plan_dataset import plan_dataset


def planned(name):
    fingerprint, description, budget = PLANS[name]
    return plan_dataset("Dataset007_Golden", fingerprint, description, budget)


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_as_it_was_planned_follows_all_its_decisions(name):
    assert edited_values(planned(name)) == {}


def edit(plan, name="3d_fullres", **changes):
    """Change values of a configuration, e.g. segmenter={"epochs": 9}; records are changed in part."""
    configuration = plan.configurations[name]
    for key, value in changes.items():
        whole = replace(getattr(configuration, key), **value) if isinstance(value, dict) else value
        configuration = replace(configuration, **{key: whole})
    return replace(plan, configurations={**plan.configurations, name: configuration})


def test_an_edited_value_is_told_beside_its_decision():
    plan = planned("cells_fast")
    first, second = plan.configurations["3d_fullres"].levels
    edited = edit(
        plan,
        objects=None,
        segmenter={"epochs": 9, "warm_start_epochs": 0, "anchor_weight": 0.0, "batch_size": 7},
        features={"timesteps": (10, 20)},
        levels=(replace(first, stages=(1, 2)), replace(second, n_parts=9, children=())),
    )
    found = {decision.name: value for decision, value in edited_values(edited).items()}
    segmenter = plan.configurations["3d_fullres"].segmenter
    stages = plan.configurations["3d_fullres"].diffusion.n_stages
    assert found == {
        "parts per level": "2 9",
        "segmenter batch size": "7",
        "timesteps": "10 20",
        "stage of level 1": f"1 2 of {stages}",
        "segmenter training": f"9 epochs x {segmenter.iterations_per_epoch}, rate {segmenter.learning_rate:g}",
        "levels from objects": "none; k-means",
        "warm start": "none",
        "parent of each part": "level 2: 0 1 1 1 1 1 1 1 1",
    }


def test_levels_that_no_longer_nest_are_told():
    plan = planned("cells_fast")
    edited = edit(plan, segmenter={"nested": False})
    found = {decision.name: value for decision, value in edited_values(edited).items()}
    assert found == {"parent of each part": "none: a network per level"}


def test_an_edited_value_is_told_of_its_configuration_alone():
    plan = planned("huge_fast")
    (decision,) = edited_values(edit(plan, "3d_lowres", diffusion={"batch_size": 5}))
    assert (decision.configuration, decision.name) == ("3d_lowres", "diffusion batch size")
