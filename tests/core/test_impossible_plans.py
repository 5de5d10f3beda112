"""Plans that were edited by hand into what cannot be trained are refused when they are read, with place and range."""

import math

import pytest
from edited_plans import HERE, edited, refused
from small_dataset import make_dataset
from small_plan import make_plan

from dd_nnunet.commands import plan_and_preprocess, train
from dd_nnunet.core.json_record import record_from_json, record_to_json
from dd_nnunet.core.plan import Plan
from dd_nnunet.storage.atomic import read_json, write_json

DIFFUSION = [
    ("channels", [0, 16], "channels is [0, 16]; at least 1 each"),
    ("channels", [50, 16], "channels[0] is 50; must be a multiple of 3"),
    ("channels", [8], "channels, strides_zyx (one fewer) and kernel_sizes_zyx differ in length"),
    ("strides_zyx", [[0, 2, 2]], "strides_zyx has [0, 2, 2]; at least 1"),
    ("kernel_sizes_zyx", [[3, 3, 3], [1, 3, 2]], "kernel_sizes_zyx[1] is [1, 3, 2]; must be odd"),
    ("kernel_sizes_zyx", [[3, 3, 3], [3, -1, 3]], "kernel_sizes_zyx has [3, -1, 3]; at least 1"),
    ("n_timesteps", 1, "n_timesteps is 1; at least 2"),
    ("batch_size", 0, "batch_size is 0; at least 1"),
    ("iterations", 0, "iterations is 0; at least 1"),
    ("learning_rate", 0, "learning_rate is 0.0; must be above 0"),
    ("learning_rate", -1e-3, "learning_rate is -0.001; must be above 0"),
    ("ema_decay", 1, "ema_decay is 1.0; at least 0 and below 1"),
    ("ema_decay", -0.1, "ema_decay is -0.1; at least 0 and below 1"),
]
FEATURES = [
    ("timesteps", [], "timesteps is empty; at least one"),
    ("n_draws", 0, "n_draws is 0; at least 1"),
    ("n_components", -1, "n_components is -1; at least 0"),
]
SEGMENTER = [
    ("features_per_stage", [8, 0], "features_per_stage is [8, 0]; at least 1 each"),
    ("features_per_stage", [8], "features_per_stage, strides_zyx and kernel_sizes_zyx differ in length"),
    ("strides_zyx", [[1, 1, 1], [2, 0, 2]], "strides_zyx has [2, 0, 2]; at least 1"),
    ("strides_zyx", [[2, 2, 2], [2, 2, 2]], "strides_zyx[0] is [2, 2, 2]; the first must be [1, 1, 1]"),
    ("kernel_sizes_zyx", [[4, 3, 3], [3, 3, 3]], "kernel_sizes_zyx[0] is [4, 3, 3]; must be odd"),
    ("kernel_sizes_zyx", [[0, 3, 3], [3, 3, 3]], "kernel_sizes_zyx has [0, 3, 3]; at least 1"),
    ("n_convs_per_stage", 0, "n_convs_per_stage is 0; at least 1"),
    ("inner_multiple", 0, "inner_multiple is 0; at least 1"),
    ("batch_size", -2, "batch_size is -2; at least 1"),
    ("epochs", 0, "epochs is 0; at least 1"),
    ("iterations_per_epoch", 0, "iterations_per_epoch is 0; at least 1"),
    ("warm_start_epochs", 3, "warm_start_epochs is 3; at least 0, at most epochs = 2"),
    ("warm_start_epochs", -1, "warm_start_epochs is -1; at least 0, at most epochs = 2"),
    ("learning_rate", 0, "learning_rate is 0.0; must be above 0"),
    ("feature_weight", -1, "feature_weight is -1.0; at least 0"),
    ("visual_weight", -1, "visual_weight is -1.0; at least 0"),
    ("invariance_weight", -0.5, "invariance_weight is -0.5; at least 0"),
    ("anchor_weight", -1, "anchor_weight is -1.0; at least 0"),
    ("gamma_range", [0, 1.1], "gamma_range is [0.0, 1.1]; must be above 0 and not fall"),
    ("gamma_range", [1.1, 0.9], "gamma_range is [1.1, 0.9]; must be above 0 and not fall"),
    ("dropout", 1, "dropout is 1; at least 0 and below 1"),
    ("invariance_interval", 0, "invariance_interval is 0; at least 1"),
    ("smallest_component", -0.1, "smallest_component is -0.1; 0 to 1"),
    ("smallest_component", 1.1, "smallest_component is 1.1; 0 to 1"),
]
RISING = "1 to 3 rising numbers, the first is 2"
OBJECTS = [
    ({"n_parts": [3], "smallest_mm": [5], "anchor_weight": 10}, f"objects.n_parts is [3]; {RISING}"),
    ({"n_parts": [2, 2], "smallest_mm": [5, 2], "anchor_weight": 10}, f"objects.n_parts is [2, 2]; {RISING}"),
    ({"n_parts": [], "smallest_mm": [], "anchor_weight": 10}, f"objects.n_parts is []; {RISING}"),
    (
        {"n_parts": [2, 3, 4, 5], "smallest_mm": [4, 3, 2, 1], "anchor_weight": 10},
        f"objects.n_parts is [2, 3, 4, 5]; {RISING}",
    ),
    (
        {"n_parts": [2], "smallest_mm": [0], "anchor_weight": 10},
        "objects.smallest_mm is [0.0]; one above 0 per level of n_parts",
    ),
    (
        {"n_parts": [2, 3], "smallest_mm": [5], "anchor_weight": 10},
        "objects.smallest_mm is [5.0]; one above 0 per level of n_parts",
    ),
]
OBJECTS.append(
    ({"n_parts": [2], "smallest_mm": [5], "anchor_weight": -1}, "objects.anchor_weight is -1.0; at least 0")
)
# place that is told, keys that lead to the value, the value, what is said
EDITS = [
    *((f"{HERE}.diffusion", ("diffusion", key), value, words) for key, value, words in DIFFUSION),
    *((f"{HERE}.features", ("features", key), value, words) for key, value, words in FEATURES),
    *((f"{HERE}.segmenter", ("segmenter", key), value, words) for key, value, words in SEGMENTER),
    *(
        (HERE, ("spacing_zyx_mm",), value, f"spacing_zyx_mm is {shown}; must be above 0 on every axis")
        for value, shown in (([0, 1, 1], "[0.0, 1.0, 1.0]"), ([1, 1, -2], "[1.0, 1.0, -2.0]"))
    ),
    *((f"{HERE}.objects", ("objects",), value, words) for value, words in OBJECTS),
    (
        HERE,
        ("objects",),
        {"n_parts": [2, 4], "smallest_mm": [5, 2], "anchor_weight": 10},
        "n_parts of level 2 is 3, objects.n_parts has 4; they must agree",
    ),
    (HERE, ("levels",), [], "levels is empty; at least one"),
    # the schedule has T values, the first after one noising step
    (HERE, ("features", "timesteps"), [50, 250], "features.timesteps has 250; allowed: 0–249"),
    (HERE, ("features", "timesteps"), [-1], "features.timesteps has -1; allowed: 0–249"),
    (f"{HERE}.levels[0]", ("levels", 0, "stages"), [], "stages of level 1 is empty; at least one"),
    (f"{HERE}.levels[0]", ("levels", 0, "level"), 0, "level is 0; at least 1"),
    (HERE, ("levels", 0, "stages"), [3], "level 1 uses stage 3; stages are 1–2"),
]


@pytest.mark.parametrize(
    ("place", "keys", "value", "words"), EDITS, ids=[f"{edit[1][-1]}={edit[2]}" for edit in EDITS]
)
def test_an_impossible_value_is_refused_with_its_place(place, keys, value, words):
    error = refused(edited(("configurations", "3d_fullres", *keys), value))
    assert (error.where, error.reason) == ("ddPlans.json", f"{place}: {words}")
    assert error.remedy == "correct the value"


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("diffusion", {"ema_decay": 0}),
        ("diffusion", {"channels": [1, 40]}),
        ("diffusion", {"n_timesteps": 51}),
        ("features", {"timesteps": [0, 249]}),
        ("objects", {"n_parts": [2], "smallest_mm": [5], "anchor_weight": 10}),
        ("objects", {"n_parts": [2, 3], "smallest_mm": [5, 0.1], "anchor_weight": 10}),
        ("segmenter", {"warm_start_epochs": 0}),
        ("segmenter", {"warm_start_epochs": 2}),
        ("segmenter", {"gamma_range": [1, 1]}),
        ("segmenter", {"smallest_component": 1, "invariance_interval": 1}),
        ("segmenter", {"feature_weight": 0, "anchor_weight": 0}),
        ("segmenter", {"kernel_sizes_zyx": [[1, 3, 5], [3, 3, 3]]}),
    ],
)
def test_the_last_values_that_are_possible(part, change):
    data = record_to_json(make_plan())
    configuration = data["configurations"]["3d_fullres"]
    configuration[part] = (configuration[part] or {}) | change
    record_from_json(Plan, data, "ddPlans.json")


def test_labels_beside_the_losses_want_a_warm_start():
    # the epochs in which they are learnt alone; without them they are not made
    alone = edited(("configurations", "3d_fullres", "segmenter", "warm_start_epochs"), 0)
    alone["configurations"]["3d_fullres"]["segmenter"]["anchor_weight"] = 1
    words = "anchor_weight is 1 without a warm start; 0, or warm_start_epochs from 1"
    assert refused(alone).reason == f"{HERE}.segmenter: {words}"
    objects = edited(("configurations", "3d_fullres", "segmenter", "warm_start_epochs"), 0)
    objects["configurations"]["3d_fullres"]["objects"] = {
        "n_parts": [2],
        "smallest_mm": [5],
        "anchor_weight": 10,
    }
    assert (
        refused(objects).reason
        == f"{HERE}: objects goes with a warm start; segmenter.warm_start_epochs from 1"
    )


def test_objects_are_of_one_channel():
    data = edited(
        ("configurations", "3d_fullres", "objects"), {"n_parts": [2], "smallest_mm": [5], "anchor_weight": 10}
    )
    planned = data["configurations"]["3d_fullres"]
    planned["normalization"] = planned["normalization"] * 2
    assert refused(data).reason == f"{HERE}: objects goes with one channel, not 2"


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_numbers_that_json_has_not_are_refused_too(value):
    for changes in (
        {"spacing_zyx_mm": (1.0, value, 1.0)},
        {"diffusion": {"learning_rate": value}},
        {"diffusion": {"ema_decay": value}},
        {"segmenter": {"visual_weight": value}},
        {"segmenter": {"gamma_range": (1.0, value)}},
    ):
        with pytest.raises(ValueError, match=r"above 0|at least 0"):
            make_plan(**changes)


def test_a_plan_of_another_version():
    error = refused(edited(("schema_version",), 2))
    assert error.reason == "$: schema_version is 2, not 1: made by another version"
    assert error.remedy == "plan anew with dd_plan_experiment"


@pytest.mark.parametrize("name", ["", "a/b", "..", "a.b", "a b", "x" * 101])
def test_a_plan_whose_name_is_not_plain(name):
    assert refused(edited(("plans_name",), name)).reason == (
        f"$: plans_name: {name[:100]!r} is no plain name (letters, digits, '_', '-'; at most 100)"
    )


TAKEN = ("splits_final", "dataset", "dataset_fingerprint", "manifest", "Dataset", "SPLITS_FINAL")


@pytest.mark.parametrize("name", TAKEN)
def test_no_plan_is_called_as_a_file_of_the_dataset(name, tmp_path, capsys):
    words = f"'{name}' is the name of a file of the dataset itself; choose another"
    assert refused(edited(("plans_name",), name)).reason == f"$: plans_name: {words}"
    for main, flag in (
        (plan_and_preprocess.main, "-overwrite_plans_name"),
        (plan_and_preprocess.main_plan, "-overwrite_plans_name"),
        (plan_and_preprocess.main_preprocess, "-plans_name"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(["-d", "7", flag, name, "--preprocessed", str(tmp_path)])
        assert caught.value.code == 2
        assert f"{flag}: {words}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.mark.parametrize(
    ("key", "found", "expected"),
    [("plans_name", "ddPlans", "copy"), ("dataset_name", "Dataset008_Other", "Dataset007_Cells")],
)
@pytest.mark.parametrize("command", ["dd_preprocess", "dd_train"])
def test_a_plan_of_another_name_or_dataset_is_not_taken(dataset, capsys, command, key, found, expected):
    copy = dataset.folders.plans_json("copy")
    write_json(copy, read_json(dataset.folders.plans_json("ddPlans")) | {"plans_name": "copy"} | {key: found})
    before = sorted(dataset.preprocessed.rglob("*"))
    if command == "dd_train":
        code = train.main(["7", "3d_fullres", "0", "-p", "copy", "-q", *dataset.flags])
    else:
        code = plan_and_preprocess.main_preprocess(
            ["-d", "7", "-np", "0", "-plans_name", "copy", "-q", *dataset.flags]
        )
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"copy.json: $.{key} is '{found}', where '{expected}' is expected" in line
    assert line.endswith(
        f"if this plan is meant, write '{expected}' there; else plan with dd_plan_experiment"
    )
    assert [path for path in sorted(dataset.preprocessed.rglob("*")) if path.name != ".lock"] == [
        path for path in before if path.name != ".lock"
    ]
    assert not dataset.folders.results.exists()


def test_a_plan_that_is_not_there(dataset, capsys):
    flags = ["-d", "7", "-np", "0", "-plans_name", "other", "-q", *dataset.flags]
    assert plan_and_preprocess.main_preprocess(flags) == 2
    reason, _, listed = capsys.readouterr().err.strip().partition("; choose one with -plans_name: ")
    assert reason.endswith("other.json: does not exist")
    # "copy" if another test left it; never the files that are no plans
    assert [name for name in listed.split(", ") if name != "copy"] == ["ddPlans"]


@pytest.mark.parametrize("name", ["../x", "a b"])
def test_a_name_of_a_plan_that_is_asked_for_is_plain(dataset, name):
    with pytest.raises(SystemExit) as caught:
        plan_and_preprocess.main_preprocess(["-d", "7", "-plans_name", name, *dataset.flags])
    assert caught.value.code == 2
