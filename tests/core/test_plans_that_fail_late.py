"""Edited plans that would fail only after hours of training, or mean nothing, are refused when they are read."""

import pytest
from edited_plans import HERE, edited, refused
from small_plan import make_plan

from dd_nnunet.core.json_record import record_from_json, record_to_json
from dd_nnunet.core.plan import Plan

CONFIGURATION = ("configurations", "3d_fullres")
STRIDES = "by the networks' strides_zyx"
SECOND = {"level": 2, "n_parts": 3, "stages": [2]}


def changed(**changes):
    """The plan's JSON with other values in its configuration; those of its records as dictionaries."""
    data = record_to_json(make_plan())
    configuration = data["configurations"]["3d_fullres"]
    for key, value in changes.items():
        configuration[key] = configuration[key] | value if isinstance(value, dict) else value
    return data


def accepted(data):
    return record_from_json(Plan, data, "ddPlans.json")


def halved(n_halvings):
    """A segmenter whose total stride is 2 to the power of that on every axis."""
    n = n_halvings + 1
    return {
        "features_per_stage": [8] * n,
        "strides_zyx": [[1, 1, 1], *[[2, 2, 2]] * n_halvings],
        "kernel_sizes_zyx": [[3, 3, 3]] * n,
    }


# of the same kind, with total stride 8
EIGHTH = {
    "channels": [8, 16, 16, 16],
    "strides_zyx": [[2, 2, 2]] * 3,
    "kernel_sizes_zyx": [[3, 3, 3]] * 4,
}
THIRD = {"strides_zyx": [[3, 1, 1]]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        # both networks halve once
        (
            {"patch_size_zyx": [12, 15, 16]},
            f"patch_size_zyx[1] is 15; must be a multiple of 2 {STRIDES}; nearest: 14 and 16",
        ),
        (
            {"patch_size_zyx": [12, 14, 1]},
            f"patch_size_zyx[2] is 1; must be a multiple of 2 {STRIDES}; nearest: 2",
        ),
        # 72 = 9 * 8 suits the diffusion U-Net, but is no multiple of the segmenter's 16
        (
            {"patch_size_zyx": [72, 64, 64], "diffusion": EIGHTH, "segmenter": halved(4)},
            f"patch_size_zyx[0] is 72; must be a multiple of 16 {STRIDES}; nearest: 64 and 80",
        ),
        # 8 suits the segmenter, 9 the diffusion U-Net, 6 and 12 both
        (
            {"patch_size_zyx": [8, 14, 16], "diffusion": THIRD},
            f"patch_size_zyx[0] is 8; must be a multiple of 6 {STRIDES}; nearest: 6 and 12",
        ),
        (
            {"patch_size_zyx": [9, 14, 16], "diffusion": THIRD},
            f"patch_size_zyx[0] is 9; must be a multiple of 6 {STRIDES}; nearest: 6 and 12",
        ),
        # the diffusion U-Net has a grid of its own, the segmenter has not
        (
            {
                "patch_size_zyx": [12, 14, 17],
                "diffusion": {"grid_zyx": [8, 8, 8]},
                "features": {"visual_target": "image"},
            },
            f"patch_size_zyx[2] is 17; must be a multiple of 2 {STRIDES}; nearest: 16 and 18",
        ),
        # the segmenter resizes, the diffusion U-Net does not
        (
            {"patch_size_zyx": [12, 14, 17], "segmenter": {"inner_multiple": 4}},
            f"patch_size_zyx[2] is 17; must be a multiple of 2 {STRIDES}; nearest: 16 and 18",
        ),
        (
            {"patch_size_zyx": [2, 2, 2]},
            "patch_size_zyx is [2, 2, 2], one cell at the segmenter's coarsest resolution; "
            'its norm "instance" needs two: double the patch on one axis',
        ),
        (
            {"patch_size_zyx": [2, 2, 2], "segmenter": {"norm": "batch", "batch_size": 1}},
            "patch_size_zyx is [2, 2, 2], one cell at the segmenter's coarsest resolution; "
            'its norm "batch" needs two: double the patch on one axis',
        ),
        ({"median_shape_zyx": [0, 14, 16]}, "median_shape_zyx has [0, 14, 16]; at least 1"),
        ({"gpu_memory_target_gb": 0}, "gpu_memory_target_gb is 0.0; must be above 0"),
        ({"gpu_memory_target_gb": -8}, "gpu_memory_target_gb is -8.0; must be above 0"),
        ({"estimated_gpu_memory_gb": -1}, "estimated_gpu_memory_gb is -1.0; at least 0"),
    ],
)
def test_a_configuration_is_refused(changes, words):
    error = refused(changed(**changes))
    assert (error.where, error.reason) == ("ddPlans.json", f"{HERE}: {words}")
    assert error.remedy == "correct the value"


@pytest.mark.parametrize(
    "changes",
    [
        {"patch_size_zyx": [64, 80, 16], "diffusion": EIGHTH, "segmenter": halved(4)},
        {"patch_size_zyx": [6, 14, 16], "diffusion": THIRD},
        # 72 = 9 * 8: the segmenter resizes it to 64
        {"patch_size_zyx": [72] * 3, "diffusion": EIGHTH, "segmenter": halved(4) | {"inner_multiple": 16}},
        # both resize
        {
            "patch_size_zyx": [11, 13, 17],
            "diffusion": {"grid_zyx": [8, 8, 8]},
            "features": {"visual_target": "image"},
            "segmenter": {"inner_multiple": 4},
        },
        # two cells at the coarsest resolution: of one patch, or of two patches of a batch
        {"patch_size_zyx": [2, 2, 4]},
        {"patch_size_zyx": [2, 2, 2], "segmenter": {"norm": "batch", "batch_size": 2}},
        {"patch_size_zyx": [2, 2, 2], "segmenter": {"inner_multiple": 4}},
        {"median_shape_zyx": [1, 1, 1], "gpu_memory_target_gb": 0.001, "estimated_gpu_memory_gb": 0},
        # more components than any stage has channels: all are kept
        {"features": {"n_components": 1000}},
    ],
)
def test_a_configuration_that_is_possible(changes):
    accepted(changed(**changes))


@pytest.mark.parametrize(
    ("place", "keys", "value", "words"),
    [
        (".features", ("features", "timesteps"), [50, 25, 50], "timesteps is [50, 25, 50]; each once"),
        (
            ".levels[0]",
            ("levels", 0, "stages"),
            [1, 2, 1],
            "stages of level 1 is [1, 2, 1]; each once",
        ),
        (
            ".levels[0]",
            ("levels", 0, "n_parts"),
            1,
            "n_parts of level 1 is 1; at least 2, at most 256",
        ),
        (
            ".levels[1]",
            ("levels", 1, "n_parts"),
            257,
            "n_parts of level 2 is 257; at least 2, at most 256",
        ),
        (
            ".segmenter",
            ("segmenter", "inner_multiple"),
            15,
            "inner_multiple is 15; 1, or a multiple of 2 by strides_zyx",
        ),
    ],
)
def test_a_record_of_a_configuration_is_refused(place, keys, value, words):
    assert refused(edited((*CONFIGURATION, *keys), value)).reason == f"{HERE}{place}: {words}"


def test_the_most_parts():
    plan = accepted(edited((*CONFIGURATION, "levels", 1, "n_parts"), 256))
    assert plan.configuration("3d_fullres").level(2).n_parts == 256


def two_configurations(first, second):
    """The plan with level 1 and level 2 in configurations of their own, the finer one first."""
    data = record_to_json(make_plan())
    low = record_to_json(make_plan())["configurations"]["3d_fullres"]
    low["levels"][1:] = []
    low["levels"][0]["n_parts"] = first
    data["configurations"]["3d_fullres"]["levels"] = [SECOND | {"n_parts": second}]
    data["configurations"]["3d_lowres"] = low
    return data


def test_parts_get_never_fewer_with_depth():
    words = "; a level refines the one before it"
    fewer = edited((*CONFIGURATION, "levels", 0, "n_parts"), 4)
    assert refused(fewer).reason == f"$: n_parts of level 2 is 3, fewer than the 4 of level 1{words}"
    fewer["configurations"]["3d_fullres"]["segmenter"]["nested"] = True
    assert refused(fewer).reason == f"{HERE}: n_parts of level 2 is 3, fewer than the 4 before it{words}"
    fewer["configurations"]["3d_fullres"]["segmenter"]["nested"] = False
    fewer["configurations"]["3d_fullres"]["levels"][1]["level"] = 3
    assert refused(fewer).reason == f"$: n_parts of level 3 is 3, fewer than the 4 of level 1{words}"
    assert refused(two_configurations(4, 3)).reason == (
        f"$: n_parts of level 2 is 3, fewer than the 4 of level 1{words}"
    )
    # as many are no fewer
    accepted(two_configurations(3, 3))
    accepted(edited((*CONFIGURATION, "levels", 0, "n_parts"), 3))


@pytest.mark.parametrize(
    ("key", "value", "reason", "remedy"),
    [
        ("planner", "Paper", "$.planner is 'Paper'", "allowed: 'default', 'paper'"),
        ("preset", "slow", "$.preset is 'slow'", "allowed: 'fast', 'standard', 'paper'"),
        ("channel_names", [], "$: channel_names is empty; at least one", "correct the value"),
        (
            "channel_names",
            ["light", "dark"],
            "$: configurations.3d_fullres.normalization has length 1, channel_names 2; one entry per channel",
            "correct the value",
        ),
        ("configurations", {}, "$: configurations is empty; at least one", "correct the value"),
    ],
)
def test_a_plan_is_refused(key, value, reason, remedy):
    error = refused(edited((key,), value))
    assert (error.where, error.reason, error.remedy) == ("ddPlans.json", reason, remedy)


def test_more_normalizations_than_channels():
    entry = {"scheme": "min_max", "lower_percentile": 0, "upper_percentile": 100}
    assert refused(edited((*CONFIGURATION, "normalization"), [entry, entry])).reason == (
        "$: configurations.3d_fullres.normalization has length 2, channel_names 1; one entry per channel"
    )


@pytest.mark.parametrize("name", ["", "../x", "a/b", "..", "a.b", "a b", "x" * 101])
def test_a_configuration_whose_name_is_not_plain(name):
    data = record_to_json(make_plan())
    data["configurations"] = {name: data["configurations"]["3d_fullres"]}
    assert refused(data).reason == (
        f"$: configurations: {name[:100]!r} is no plain name (letters, digits, '_', '-'; at most 100)"
    )
