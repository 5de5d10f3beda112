"""The real commands, end to end, on 16³ volumes: raw folder -> plan -> folds -> prediction -> scores -> report."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from balls import GEOMETRY, Way, shorten, way_below, write_balls
from small_model import contents_of
from trained_fold import assert_same_weights

from dd_nnunet.commands import (
    accumulate,
    baseline,
    evaluate,
    model_zip,
    plan_and_preprocess,
    predict,
    report,
    train,
)
from dd_nnunet.storage.atomic import read_json, sha256_of
from dd_nnunet.storage.volume import read_geometry, read_label_map, write_image


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    way = way_below(tmp_path_factory.mktemp("way"))
    write_balls(way.raw)
    before = {path: sha256_of(path) for path in way.raw.rglob("*") if path.is_file()}
    assert plan_and_preprocess.main(["-d", "42", "--preset", "fast", "-np", "0", *way.flags]) == 0
    shorten(way)
    for fold in ("0", "1"):
        assert train.main(["42", "3d_fullres", fold, "--seed", "3", "-device", "cpu", *way.flags]) == 0
    yield way
    after = {path: sha256_of(path) for path in way.raw.rglob("*") if path.is_file()}
    assert after == before, "the raw folder is never written"


def test_validation_lies_on_the_raw_grid(way: Way) -> None:
    splits = read_json(way.folders.splits_json)
    for level, n_parts in ((1, 2), (2, 3)):
        folder = way.model / "fold_0" / f"level{level}" / "validation"
        cases = {path.name.removesuffix(".nii.gz") for path in folder.glob("*.nii.gz")}
        assert cases == set(splits[0]["val"])
        for case in cases:
            labels, geometry = read_label_map(folder / f"{case}.nii.gz")
            assert geometry == read_geometry(way.raw / "imagesTr" / f"{case}_0000.nii.gz")
            assert labels.max() < n_parts


def test_summary_has_nnunets_keys_and_ours(way: Way) -> None:
    summary = read_json(way.model / "fold_0" / "level1" / "validation" / "summary.json")
    assert {"foreground_mean", "mean", "metric_per_case"} <= set(summary)
    assert {"Dice", "IoU", "TP", "FP", "FN", "TN", "n_pred", "n_ref"} <= set(summary["foreground_mean"])
    assert set(summary["protocols"]) == {"hsu", "strict"}


def test_model_folder_has_plan_dataset_and_fingerprint(way: Way) -> None:
    names = {path.name for path in way.model.iterdir()}
    assert {".lock", "plans.json", "dataset.json", "dataset_fingerprint.json", "fold_0", "fold_1"} == names


def test_same_seed_same_weights(way: Way, tmp_path: Path) -> None:
    other = way.with_results(tmp_path)
    assert (
        train.main(["42", "3d_fullres", "0", "--seed", "3", "-l", "2", "-device", "cpu", *other.flags]) == 0
    )
    again = other.model / "fold_0" / "levels" / "checkpoint_final.pth"
    first = way.model / "fold_0" / "levels" / "checkpoint_final.pth"
    assert_same_weights(first, again)


def test_prediction_with_one_fold_is_the_validation(way: Way, tmp_path: Path) -> None:
    splits = read_json(way.folders.splits_json)
    case = splits[0]["val"][0]
    arguments = ["-d", "42", "-f", "0", "-i", str(way.raw / "imagesTr"), "-o", str(tmp_path)]
    assert predict.main([*arguments, *way.flags]) == 0
    for level in (1, 2):
        predicted = tmp_path / f"level{level}" / f"{case}.nii.gz"
        validated = way.model / "fold_0" / f"level{level}" / "validation" / f"{case}.nii.gz"
        assert np.array_equal(read_label_map(predicted)[0], read_label_map(validated)[0])
    record = read_json(tmp_path / "predictions.json")
    assert set(record["cases"]) == {f"ball_{i}" for i in range(5)}
    assert record["cases"][case]["state"] == "done"
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nii.gz")}
    assert predict.main([*arguments, "--continue_prediction", *way.flags]) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nii.gz")} == times


def test_a_model_travels_in_a_zip(way: Way, tmp_path: Path) -> None:
    """Exported, installed where nothing else is, it predicts the same."""
    archive, there = tmp_path / "model.zip", tmp_path / "there"
    assert model_zip.main_export(["-d", "42", "-f", "0", "1", "-o", str(archive), *way.flags]) == 0
    elsewhere = ["--raw", str(there / "raw"), "--preprocessed", str(there / "prepared"), "--no_pbar", "-q"]
    elsewhere += ["--results", str(there / "results")]
    assert model_zip.main_install([str(archive), *elsewhere]) == 0
    arguments = ["-d", "42", "-c", "3d_fullres", "-i", str(way.raw / "imagesTr")]
    assert predict.main([*arguments, "-o", str(tmp_path / "a"), *way.flags]) == 0
    assert predict.main([*arguments, "-o", str(tmp_path / "b"), *elsewhere]) == 0
    predicted = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.nii.gz"))
    assert len(predicted) == 2 * 5
    for path in predicted:
        a, b = (read_label_map(tmp_path / name / path) for name in ("a", "b"))
        assert np.array_equal(a[0], b[0])
        assert a[1] == b[1]


def test_two_folds_are_aligned_and_a_bad_case_does_not_stop_the_rest(
    way: Way, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "in"
    images.mkdir()
    good = way.raw / "imagesTr" / "ball_0_0000.nii.gz"
    (images / "good_0000.nii.gz").write_bytes(good.read_bytes())
    (images / "bad_0000.nii.gz").write_bytes(good.read_bytes()[:500])
    out = tmp_path / "out"
    code = predict.main_from_modelfolder(
        ["-m", str(way.model), "-i", str(images), "-o", str(out), *way.flags]
    )
    assert code == 3
    assert "bad" in capsys.readouterr().err
    record = read_json(out / "predictions.json")
    assert record["folds"] == ["0", "1"]
    assert record["cases"]["bad"]["state"] == "failed"
    assert sorted(record["part_of_fold_for_each_part"]["level2"]["1"]) == [0, 1, 2]
    assert read_label_map(out / "level2" / "good.nii.gz")[0].shape == (20, 18, 16)


def test_baselines_evaluation_and_report(
    way: Way, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dd_nnunet.evaluation.baselines.feature_clusters.MAX_VOXELS", 1000)
    methods = ("kmeans", "denoise-kmeans", "otsu", "bright-cluster", "feat-kmeans", "feat-gmm")
    fold_before = contents_of(way.model / "fold_0")
    for method in methods:
        assert baseline.main(["-d", "42", "--method", method, "-f", "0", *way.flags]) == 0
    assert contents_of(way.model / "fold_0") == fold_before
    # the fold's own features were taken
    assert not list(way.folders.results.glob("ddBaseline__*/fold_0/features"))
    validated = way.model / "fold_0"
    capsys.readouterr()
    assert evaluate.main([str(validated), str(way.raw / "labelsTr"), "-d", "42", "--chill", *way.flags]) == 0
    assert "fold_0" in capsys.readouterr().out
    page = tmp_path / "report.html"
    assert report.main(["-d", "42", "-f", "0", "-o", str(page), *way.flags]) == 0
    text = page.read_text(encoding="utf-8")
    assert all(f"<td>{method}<" in text for method in methods) and "ball" in text


def test_a_diffusion_model_of_another_plan_is_refused(
    way: Way, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = way.with_results(tmp_path)
    level = way.model / "fold_0" / "levels" / "checkpoint_final.pth"
    assert train.main(["42", "3d_fullres", "0", "-pretrained_diffusion", str(level), *other.flags]) == 2
    assert "is of another network" in capsys.readouterr().err
    assert not list(tmp_path.rglob("checkpoint_*.pth"))


def test_a_pretrained_diffusion_model_is_taken(way: Way, tmp_path: Path) -> None:
    other = way.with_results(tmp_path)
    given = way.model / "fold_0" / "diffusion" / "checkpoint_final.pth"
    arguments = ["42", "3d_fullres", "1", "--stage", "diffusion", "-pretrained_diffusion", str(given)]
    assert train.main([*arguments, *other.flags]) == 0
    taken = other.model / "fold_1" / "diffusion" / "checkpoint_final.pth"
    assert_same_weights(given, taken)


def test_other_volumes_under_the_same_names_are_another_run(
    way: Way, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = way_below(tmp_path)
    shutil.copytree(way.root, other.root, dirs_exist_ok=True)
    train_case = read_json(other.folders.splits_json)[0]["train"][0]
    image = np.random.default_rng(1).normal(0, 1, (20, 18, 16)).astype(np.float32)
    write_image(other.raw / "imagesTr" / f"{train_case}_0000.nii.gz", image, GEOMETRY)
    flags = ["-d", "42", "-c", "3d_fullres", "-np", "0", *other.flags]
    assert plan_and_preprocess.main_preprocess(flags) == 0
    capsys.readouterr()
    assert train.main(["42", "3d_fullres", "0", "--seed", "3", *other.flags]) == 2
    assert "training_data_sha256" in capsys.readouterr().err


def test_a_fold_that_is_not_finished_is_left_out(
    way: Way, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / way.model.name
    shutil.copytree(way.model, model)
    for path in (model / "fold_1" / "levels").glob("checkpoint_final*"):
        path.unlink()
    arguments = [
        "-m",
        str(model),
        "-i",
        str(way.raw / "imagesTr"),
        "-o",
        str(tmp_path / "out"),
        "--disable_tta",
    ]
    assert predict.main_from_modelfolder([*arguments, *way.flags]) == 0
    assert "fold 1 is left out: level 1 2 is not finished" in capsys.readouterr().out
    assert read_json(tmp_path / "out" / "predictions.json")["folds"] == ["0"]


def test_crossval_needs_all_folds(way: Way, capsys: pytest.CaptureFixture[str]) -> None:
    assert accumulate.main(["-d", "42", "-c", "3d_fullres", *way.flags]) == 2
    assert "dd_train" in capsys.readouterr().err
    assert accumulate.main(["-d", "42", "-c", "3d_fullres", "-f", "0", "1", *way.flags]) == 0
    summary = read_json(way.model / "crossval_results_folds_0_1" / "level1" / "summary.json")
    assert len(summary["metric_per_case"]) == 2


def test_labels_change_no_bit(way: Way, tmp_path: Path) -> None:
    """G4: without labelsTr the same plan, prepared arrays and weights."""
    other = way_below(tmp_path)
    shutil.copytree(way.raw, other.raw, ignore=shutil.ignore_patterns("labelsTr"))
    assert plan_and_preprocess.main(["-d", "42", "--preset", "fast", "-np", "0", *other.flags]) == 0
    shorten(other)
    assert (
        train.main(["42", "3d_fullres", "0", "--seed", "3", "-l", "1", "-device", "cpu", *other.flags]) == 0
    )
    plans = [read_json(w.folders.plans_json("ddPlans")) for w in (way, other)]
    assert plans[0] == plans[1]
    assert_same_weights(*(w.model / "fold_0" / "levels" / "checkpoint_final.pth" for w in (way, other)))
    assert not (other.model / "fold_0" / "level1" / "validation" / "summary.json").exists()
