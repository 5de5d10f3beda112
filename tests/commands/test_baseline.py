import json

import numpy as np
import pytest
from small_dataset import CASES, make_dataset, true_labels
from small_model import contents_of, make_model

from dd_nnunet.commands import accumulate, baseline, train
from dd_nnunet.storage.volume import read_label_map


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


@pytest.fixture
def dataset(tmp_path):
    return make_dataset(tmp_path)


def test_every_fold_is_segmented_scored_and_gathered(dataset, capsys):
    assert baseline.main(["-d", "7", "--method", "denoise-kmeans", *dataset.flags]) == 0
    output = dataset.folders.baseline("denoise-kmeans", "ddPlans", "3d_fullres")
    assert sorted(p.name for p in output.iterdir()) == [f"fold_{n}" for n in range(5)]
    shown = capsys.readouterr().out
    assert "denoise-kmeans, fold 4" in shown and "strict" in shown
    splits = json.loads(dataset.folders.splits_json.read_text())
    for number, fold in enumerate(splits):
        (case,) = fold["val"]
        folder = output / f"fold_{number}/level2/validation"
        parts, geometry = read_label_map(folder / f"{case}.nii.gz")
        truth = true_labels(CASES.index(case))
        assert (parts == truth).mean() > 0.97
        assert geometry.origin_xyz_mm == (5.0, -3.0, 2.0) and geometry.spacing_xyz_mm == (1.0, 1.0, 2.0)
        summary = summary_of(folder)
        assert [entry["case"] for entry in summary["metric_per_case"]] == [case]
        assert summary["n_parts"] == 3
        assert summary["nesting"]["coarse_level"] == 1

    assert accumulate.main(["-d", "7", "--baseline", "denoise-kmeans", *dataset.flags]) == 0
    gathered = output / "crossval_results_folds_0_1_2_3_4"
    for level in (1, 2):
        folder = gathered / f"level{level}"
        assert sorted(p.name for p in folder.glob("*.nii.gz")) == [f"{c}.nii.gz" for c in CASES]
        folds = [summary_of(output / f"fold_{n}/level{level}/validation") for n in range(5)]
        merged = summary_of(folder)
        for protocol in ("hsu", "strict"):
            each = [fold["protocols"][protocol]["dice"] for fold in folds]
            assert merged["protocols"][protocol]["dice"] == pytest.approx(np.mean(each))
            low, high = merged["protocols"][protocol]["interval"]
            assert min(each) - 1e-9 <= low <= np.mean(each) <= high <= max(each) + 1e-9
        assert sorted(merged["label_map"]) == ["0", "1", "2", "3", "4"]
        assert merged["label_map"]["0"] == folds[0]["label_map"]
        assert "case-weighted mean over folds" in merged["protocols"]["strict"]["how"]
        assert merged["n_cases"] == 5
    assert merged["nesting"]["violation_rate"] == pytest.approx(
        np.mean([fold["nesting"]["violation_rate"] for fold in folds])
    )


def test_chosen_folds_and_levels(dataset):
    assert baseline.main(["-d", "7", "--method", "kmeans", "-f", "1", "all", "-l", "2", *dataset.flags]) == 0
    output = dataset.folders.baseline("kmeans", "ddPlans", "3d_fullres")
    assert sorted(p.name for p in output.iterdir()) == ["fold_1", "fold_all"]
    assert [p.name for p in (output / "fold_1").iterdir()] == ["level2"]
    assert summary_of(output / "fold_all/level2/validation")["n_cases"] == 5


def test_a_folder_of_volumes(dataset, tmp_path):
    images = dataset.folders.images_tr
    flags = ["-i", str(images), "-o", str(tmp_path / "out"), *dataset.flags]
    assert baseline.main(["-d", "7", "--method", "kmeans", *flags]) == 0
    for level, n_parts in ((1, 2), (2, 3)):
        files = sorted((tmp_path / f"out/level{level}").iterdir())
        assert [file.name for file in files] == [f"{case}.nii.gz" for case in CASES]
        assert int(read_label_map(files[0])[0].max()) == n_parts - 1


def test_the_folder_and_the_folds_agree(dataset, tmp_path):
    flags = ["--method", "kmeans", *dataset.flags]
    assert baseline.main(["-d", "7", "-f", "all", *flags]) == 0
    images = str(dataset.folders.images_tr)
    assert baseline.main(["-d", "7", "-i", images, "-o", str(tmp_path / "out"), *flags]) == 0
    validation = dataset.folders.baseline("kmeans", "ddPlans", "3d_fullres") / "fold_all/level2/validation"
    for case in CASES:
        first, second = (
            read_label_map(f / f"{case}.nii.gz")[0] for f in (validation, tmp_path / "out/level2")
        )
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("method", ["otsu", "bright-cluster"])
def test_a_bright_thing_is_the_last_part_of_every_level(dataset, method):
    assert baseline.main(["-d", "7", "--method", method, "-f", "0", *dataset.flags]) == 0
    output = dataset.folders.baseline(method, "ddPlans", "3d_fullres") / "fold_0"
    (case,) = json.loads(dataset.folders.splits_json.read_text())[0]["val"]
    nucleus = true_labels(CASES.index(case)) == 2
    parts, _ = read_label_map(output / f"level2/validation/{case}.nii.gz")
    both = (parts == 2) & nucleus
    assert 2 * both.sum() / ((parts == 2).sum() + nucleus.sum()) > 0.9
    assert read_label_map(output / f"level1/validation/{case}.nii.gz")[0].max() == 1


@pytest.mark.parametrize("method", ["feat-kmeans", "feat-gmm"])
def test_clusters_of_features_need_the_fold_s_diffusion_model_and_no_more(
    dataset, tmp_path, capsys, monkeypatch, method
):
    monkeypatch.setattr("dd_nnunet.evaluation.baselines.feature_clusters.MAX_VOXELS", 1000)
    arguments = ["-d", "7", "--method", method, "-device", "cpu", *dataset.flags]
    dd_train = ["7", "3d_fullres", "0", "--seed", "5", "--stage", "diffusion", "-device", "cpu"]
    assert train.main([*dd_train, *dataset.flags]) == 0
    fold = dataset.model / "fold_0"
    before = contents_of(fold)
    capsys.readouterr()
    # all folds are looked at before the first is worked on
    assert baseline.main([*arguments, "-f", "0", "1"]) == 2
    error = capsys.readouterr().err
    assert "run: dd_train 7 3d_fullres 1 --stage diffusion\n" in error and len(error.splitlines()) == 1
    output = dataset.folders.baseline(method, "ddPlans", "3d_fullres")
    assert not list(output.rglob("*.nii.gz"))

    assert baseline.main([*arguments, "-f", "0"]) == 0
    assert f"{method}, fold 0" in capsys.readouterr().out
    (case,) = json.loads(dataset.folders.splits_json.read_text())[0]["val"]
    summary = summary_of(output / "fold_0/level2/validation")
    assert [entry["case"] for entry in summary["metric_per_case"]] == [case]
    assert contents_of(fold) == before
    # seed 5 of the training, which its features would have too
    assert json.loads((output / "fold_0/features/identity.json").read_text())["seed"] == 5

    images = ["-i", str(dataset.folders.images_tr), "-o", str(tmp_path / "out")]
    assert baseline.main([*arguments, *images]) == 2
    assert "must name the one fold" in capsys.readouterr().err
    assert baseline.main([*arguments, *images, "-f", "0"]) == 0
    for level in (1, 2):
        first, second = (
            read_label_map(f / f"{case}.nii.gz")[0]
            for f in (output / f"fold_0/level{level}/validation", tmp_path / f"out/level{level}")
        )
        np.testing.assert_array_equal(first, second)


def test_clusters_of_features_are_refused_where_the_model_is_of_another_plan(dataset, capsys):
    arguments = ["-d", "7", "--method", "feat-kmeans", "-f", "all", "-device", "cpu", *dataset.flags]
    make_model(dataset.workspace.results_folder(), folds=("all",))
    dataset.write_plan(features={"timesteps": (60,)})
    capsys.readouterr()
    assert baseline.main(arguments) == 2
    error = capsys.readouterr().err
    assert "trained with another plan" in error and "timesteps" in error and len(error.splitlines()) == 1


def test_one_bad_volume_does_not_stop_the_others(dataset, tmp_path, capsys):
    bad = dataset.folders.images_tr / "c_0000.nii.gz"
    bad.write_bytes(bad.read_bytes()[:-20])
    flags = ["-i", str(bad.parent), "-o", str(tmp_path / "out"), *dataset.flags]
    assert baseline.main(["-d", "7", "--method", "kmeans", *flags]) == 3
    assert len(list((tmp_path / "out/level1").iterdir())) == 4
    assert "1 of 5 cases failed: c" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-f", "7"], "fold '7' does not exist"),
        (["-l", "3"], "level 3: is not in the plan"),
        (["-i", "x"], "belong together"),
        (["-i", "x", "-o", "y", "-f", "0"], "leave it out with -i and -o"),
        (["-c", "3d_lowres"], "is not in the plan"),
    ],
)
def test_wrong_flags_are_one_line_and_exit_2(dataset, capsys, flags, message):
    assert baseline.main(["-d", "7", "--method", "kmeans", *flags, *dataset.flags]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1


def test_an_unknown_baseline_cannot_be_accumulated(dataset, capsys):
    with pytest.raises(SystemExit) as stop:
        accumulate.main(["-d", "7", "--baseline", "foo", *dataset.flags])
    assert stop.value.code == 2
    line = capsys.readouterr().err
    assert all(text in line for text in ("--baseline", "'foo'", "kmeans", "denoise-kmeans"))


def test_an_incomplete_fold_is_refused_with_the_command_to_run(dataset, capsys):
    for fold in ("0", "1", "2", "3"):
        assert baseline.main(["-d", "7", "--method", "kmeans", "-f", fold, *dataset.flags]) == 0
    capsys.readouterr()
    assert accumulate.main(["-d", "7", "--baseline", "kmeans", *dataset.flags]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[2].strip() for line in lines] == ["fold 4 level 1", "fold 4 level 2"]
    assert all("run: dd_baseline -d 7 -c 3d_fullres --method kmeans -f 4" in line for line in lines)
    output = dataset.folders.baseline("kmeans", "ddPlans", "3d_fullres")
    assert not list(output.glob("crossval*"))
    # without fold 4 it is complete
    assert accumulate.main(["-d", "7", "--baseline", "kmeans", "-f", "0", "1", "2", "3", *dataset.flags]) == 0
    assert (output / "crossval_results_folds_0_1_2_3/level1/summary.json").is_file()


def test_an_untrained_model_is_refused(dataset, capsys):
    assert accumulate.main(["-d", "7", *dataset.flags]) == 2
    assert "run: dd_train 7 3d_fullres 0" in capsys.readouterr().err


def test_a_stale_summary_is_refused(dataset, capsys):
    assert baseline.main(["-d", "7", "--method", "kmeans", *dataset.flags]) == 0
    output = dataset.folders.baseline("kmeans", "ddPlans", "3d_fullres")
    first, second = (output / f"fold_{n}/level1/validation/summary.json" for n in (0, 1))
    first.write_text(second.read_text())
    assert accumulate.main(["-d", "7", "--baseline", "kmeans", *dataset.flags]) == 2
    assert "is of other cases" in capsys.readouterr().err


def test_fold_all_cannot_be_cross_validated(dataset, capsys):
    assert accumulate.main(["-d", "7", "-f", "all", *dataset.flags]) == 2
    assert "validates on the cases it trains on" in capsys.readouterr().err
