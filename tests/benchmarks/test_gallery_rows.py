import json

import gallery
from gallery_data import EXHIBITS
from gallery_row import score
from gallery_rows import collapsed_levels, methods_for, parts_if_not_given
from made_fingerprint import make_description, make_fingerprint
from small_plan import DESCRIPTION, FINGERPRINT, make_configuration, make_plan

from dd_nnunet.core.level_plan import ObjectPlan
from dd_nnunet.storage.atomic import read_json, write_json
from dd_nnunet.storage.workspace import DatasetFolders


def planned_shop(tmp_path, monkeypatch):
    """A gallery with one data set planned, whose commands leave their results without running."""
    shop = gallery.Workshop(tmp_path, tmp_path / "rows", tmp_path / "pictures")
    # no pictures of it
    exhibit = EXHIBITS["pet"]
    folders = DatasetFolders(
        exhibit.folder, None, tmp_path / "preprocessed" / exhibit.folder, tmp_path / "results"
    )
    monkeypatch.setattr(gallery.Workshop, "folders", lambda shop, exhibit: folders)
    monkeypatch.setattr(gallery, "_run", lambda shop, name, *command: leave_results(shop, folders, command))
    write_json(folders.preprocessed / "ddPlans.json", make_plan())
    write_json(folders.fingerprint_json, FINGERPRINT)
    write_json(folders.preprocessed / "dataset.json", DESCRIPTION)
    return shop


def test_results_are_gathered_from_what_the_commands_leave(tmp_path, monkeypatch):
    shop = planned_shop(tmp_path, monkeypatch)
    gallery.train_exhibit(shop, "pet")
    row = read_json(tmp_path / "rows" / "pet.json")
    assert row["dataset"] == EXHIBITS["pet"].folder and row["measured"]["n_cases"] == 5
    assert row["fingerprint_schema"] == 5
    assert [level["n_parts"] for level in row["plan"]["configurations"]["3d_fullres"]["levels"]] == [2, 3]
    found = {
        method: levels["level1"]["protocols"]["strict"]["dice"] for method, levels in row["scores"].items()
    }
    # the plan starts no level from objects
    assert found == {
        "dd_nnunet": 0.8,
        "kmeans": 0.7,
        "denoise-kmeans": 0.7,
        "otsu": 0.7,
        "bright-cluster": 0.7,
        "feat-kmeans": 0.7,
        "feat-gmm": 0.7,
    }
    assert row["parts_if_not_given"] is None
    run = row["run"]
    assert run["collapsed"] is True
    assert set(run["finished"]) == {"3d_fullres/diffusion", "3d_fullres/level1"}
    assert (run["wall_seconds_train"], run["wall_seconds_baselines"]) == (10.0, 60.0)
    assert run["expected_minutes"] == ["about 3 minutes on this machine by a short probe: diffusion 1.0"]
    assert run["versions"] == {"torch": "2.13.0"}


def leave_results(shop, folders, command):
    """What dd_train and dd_baseline write, and what they say."""
    shop.log("pet").parent.mkdir(exist_ok=True)
    with shop.times("pet").open("a") as times:
        times.write(json.dumps({"command": command, "seconds": 10.0, "exit_code": 0}) + "\n")
    home = folders.model("ddPlans", "3d_fullres")
    if command[0] == "train":
        shop.log("pet").write_text("about 3 minutes on this machine by a short probe: diffusion 1.0\n")
        for name, ended in (("diffusion", {}), ("level1", {"collapsed": True})):
            write_json(home / "fold_0" / name / "finished.json", ended | {"device": "cpu", "seconds": 1.0})
            write_json(home / "fold_0" / name / "debug.json", {"starts": [{"versions": {"torch": "2.13.0"}}]})
    else:
        home = folders.baseline(command[command.index("--method") + 1], "ddPlans", "3d_fullres")
    dice = 0.8 if command[0] == "train" else 0.7
    write_json(home / "fold_0" / "level1" / "validation" / "summary.json", score(dice))


def test_a_row_without_a_baseline_of_its_plan_is_not_done(tmp_path, monkeypatch, capsys):
    shop = planned_shop(tmp_path, monkeypatch)
    gallery.train_exhibit(shop, "pet")
    gallery.train_exhibit(shop, "pet")
    assert capsys.readouterr().out == "pet: has its results\n"
    path = tmp_path / "rows" / "pet.json"
    row = read_json(path)
    del row["scores"]["otsu"]
    write_json(path, row)
    gallery.train_exhibit(shop, "pet")
    assert "otsu" in read_json(path)["scores"] and capsys.readouterr().out == ""
    # without labels there is nothing to wait for
    write_json(path, row | {"scores": {}})
    gallery.train_exhibit(shop, "pet")
    assert capsys.readouterr().out == "pet: has its results\n"


def test_a_collapse_of_one_of_several_levels_is_told():
    levels = {"1": {"collapsed": False}, "2": {"collapsed": True}}
    ends = {
        "3d_fullres/levels": {"levels": levels},
        "3d_lowres/level1": {"collapsed": True},
        "a/diffusion": {},
    }
    assert collapsed_levels(ends) == ["3d_lowres/level1", "3d_fullres/levels 2"]


def test_objects_is_a_baseline_only_where_a_level_starts_from_them():
    simple, on_features = ("kmeans", "denoise-kmeans"), ("otsu", "bright-cluster", "feat-kmeans", "feat-gmm")
    assert methods_for(make_configuration()) == (*simple, *on_features)
    objects = ObjectPlan((2,), (4.0,), 1.0)
    assert methods_for(make_configuration(objects=objects)) == (*simple, "objects", *on_features)


def test_the_planner_is_asked_for_its_own_parts_where_they_are_given():
    fingerprint = make_fingerprint([(50, 50, 50)] * 4, [(1.0, 1.0, 1.0)] * 4)
    assert parts_if_not_given(fingerprint, make_description()) is None
    own = parts_if_not_given(fingerprint, make_description(parts={"level1": 2, "level2": 5}))
    assert own["value"] == "2 3"
    assert own["because"].startswith(
        "measured: level 1 splits the volume in 2 (gain 0.63 against 0.01 of surr"
    )
