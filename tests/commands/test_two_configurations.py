"""A coarse and a fine configuration side by side: each has its levels, and the commands take both."""

from dataclasses import replace
from pathlib import Path

import pytest
from small_dataset import SmallDataset, make_dataset
from small_plan import make_plan

from dd_nnunet.commands import accumulate, baseline, model_zip, plan_and_preprocess, predict, report, train
from dd_nnunet.core.plan import Plan
from dd_nnunet.storage.atomic import read_json, read_record, write_json
from dd_nnunet.storage.volume import read_geometry

PREDICT = ["-d", "7", "-f", "0", "--disable_tta", "-device", "cpu", "-q"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> SmallDataset:
    """Volumes of 12 x 14 x 16 voxels, whose level 1 is made at half of the resolution."""
    dataset = make_dataset(tmp_path_factory.mktemp("two"))
    plan = make_plan()
    full = plan.configuration("3d_fullres")
    low = replace(full, spacing_zyx_mm=(4.0, 2.0, 2.0), median_shape_zyx=(6, 7, 8), levels=full.levels[:1])
    configurations = {"3d_lowres": low, "3d_fullres": replace(full, levels=full.levels[1:])}
    write_json(dataset.folders.plans_json("ddPlans"), replace(plan, configurations=configurations))
    for step in (plan_and_preprocess.main_fingerprint, plan_and_preprocess.main_preprocess):
        assert step(["-d", "7", "-np", "0", "-q", *dataset.flags]) == 0
    for name in configurations:
        assert train.main(["7", name, "0", "-device", "cpu", "-q", *dataset.flags]) == 0
    return dataset


def test_each_is_prepared_at_its_own_spacing(dataset: SmallDataset) -> None:
    shapes = {
        name: read_json(dataset.preprocessed / f"ddPlans_{name}" / "a.json")["prepared_shape_zyx"]
        for name in ("3d_lowres", "3d_fullres")
    }
    assert shapes == {"3d_lowres": [6, 7, 8], "3d_fullres": [12, 14, 16]}


def test_predict_takes_both(dataset: SmallDataset, tmp_path: Path) -> None:
    images, out = dataset.raw / "imagesTr", tmp_path / "out"
    assert predict.main([*PREDICT, "-i", str(images), "-o", str(out), *dataset.flags]) == 0
    for level in ("level1", "level2"):
        assert read_geometry(out / level / "a.nii.gz") == read_geometry(images / "a_0000.nii.gz")
    records = {path.name for path in out.glob("*.json")}
    assert records == {"predictions_3d_lowres.json", "predictions_3d_fullres.json"}


def test_predict_takes_the_one_with_the_wanted_level(dataset: SmallDataset, tmp_path: Path) -> None:
    folders = ["-i", str(dataset.raw / "imagesTr"), "-o", str(tmp_path)]
    assert predict.main([*PREDICT, "-l", "2", *folders, *dataset.flags]) == 0
    assert sorted(path.name for path in tmp_path.glob("level*")) == ["level2"]
    assert predict.main([*PREDICT, "-l", "3", *folders, *dataset.flags]) == 2


def test_predict_says_what_is_not_trained(
    dataset: SmallDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = dataset.root / "results"
    moved = tmp_path / "results"
    model = "ddTrainer__ddPlans__3d_lowres"
    (moved / dataset.raw.name).mkdir(parents=True)
    (moved / dataset.raw.name / model).symlink_to(other / dataset.raw.name / model)
    flags = [*dataset.flags]
    flags[flags.index("--results") + 1] = str(moved)
    folders = ["-i", str(dataset.raw / "imagesTr"), "-o", str(tmp_path / "out")]
    assert predict.main([*PREDICT, *folders, *flags]) == 0
    assert "not trained, so its levels are left out: 3d_fullres (level 2)" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out").glob("level*")] == ["level1"]
    assert report.main(["-d", "7", *flags]) == 0
    assert "fold 0 is not trained, so there is no page: 3d_fullres" in capsys.readouterr().out
    assert not (moved / dataset.raw.name / "ddTrainer__ddPlans__3d_fullres").exists()


def test_scores_of_both_stand_in_one_table(dataset: SmallDataset, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert accumulate.main(["-d", "7", "-f", "0", *dataset.flags]) == 0
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert [row for row in rows if row[:1] == ["dd_nnunet"]] == [["dd_nnunet", "1"], ["dd_nnunet", "2"]]
    assert baseline.main(["-d", "7", "-f", "0", "--method", "kmeans", *dataset.flags]) == 0
    assert "kmeans, fold 0" in capsys.readouterr().out


def test_each_has_its_report(dataset: SmallDataset, tmp_path: Path) -> None:
    assert report.main(["-d", "7", *dataset.flags]) == 0
    results = dataset.root / "results" / dataset.raw.name
    low, full = (
        (results / f"ddTrainer__ddPlans__{name}" / "report_fold_0.html").read_text("utf-8")
        for name in ("3d_lowres", "3d_fullres")
    )
    assert "see the page of <code>3d_fullres</code>" in low
    assert "see the page of <code>3d_lowres</code>" in full
    assert report.main(["-d", "7", "-o", str(tmp_path / "one.html"), *dataset.flags]) == 2


def test_a_file_holds_one_of_them(dataset: SmallDataset, tmp_path: Path) -> None:
    flags = ["-d", "7", "-o", str(tmp_path / "model.zip"), *dataset.flags]
    assert model_zip.main_export(flags) == 2
    assert model_zip.main_export(["-c", "3d_lowres", *flags]) == 0


def test_a_level_belongs_to_one(dataset: SmallDataset, tmp_path: Path) -> None:
    plan = read_json(dataset.preprocessed / "ddPlans.json")
    configurations = plan["configurations"]
    configurations["3d_lowres"]["levels"] = configurations["3d_fullres"]["levels"]
    write_json(tmp_path / "plan.json", plan)
    with pytest.raises(Exception, match="level 2 stands twice"):
        read_record(Plan, tmp_path / "plan.json")
