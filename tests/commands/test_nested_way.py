"""Levels that nest, through the commands: one training, one prediction, and parts in parts without exception."""

from pathlib import Path

import numpy as np
import pytest
from small_dataset import SmallDataset, make_dataset
from small_plan import SHAPE, make_plan

from dd_nnunet.commands import model_zip, predict, report, train
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.volume import read_label_map

FOLDS = ("0", "1")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> SmallDataset:
    dataset = make_dataset(tmp_path_factory.mktemp("nested"))
    dataset.write_plan(segmenter={"nested": True})
    for fold in FOLDS:
        assert train.main(["7", "3d_fullres", fold, "-device", "cpu", "-q", *dataset.flags]) == 0
    return dataset


def predicted(
    dataset: SmallDataset, out: Path, *more: str, results: Path | None = None
) -> dict[str, np.ndarray]:
    folders = ["-i", str(dataset.raw / "imagesTr"), "-o", str(out), "--disable_tta", "-device", "cpu", "-q"]
    # the last of two flags counts
    flags = [*dataset.flags, *(["--results", str(results)] if results else [])]
    assert predict.main(["-d", "7", *folders, *more, *flags]) == 0
    levels = sorted(path for path in out.glob("level*"))
    return {
        level.name: np.stack([read_label_map(p)[0] for p in sorted(level.glob("*.nii.gz"))])
        for level in levels
    }


def test_one_folder_holds_the_training_and_one_per_level_its_predictions(dataset: SmallDataset) -> None:
    fold = dataset.model / "fold_0"
    assert {path.name for path in fold.glob("*/")} == {"diffusion", "features", "levels", "level1", "level2"}
    assert (fold / "levels" / "checkpoint_final.pth").is_file()
    finished = read_json(fold / "levels" / "finished.json")
    assert set(finished["levels"]) == {"1", "2"} and len(finished["levels"]["2"]["part_shares"]) == 3
    for level in (1, 2):
        summary = read_json(fold / f"level{level}" / "validation" / "summary.json")
        numbering = read_json(fold / f"level{level}" / "validation" / "part_numbering.json")
        assert numbering["network_channel_of_part"] == list(range(level + 1))
    assert summary["nesting"]["violation_rate"] == 0


def test_parts_lie_in_parts_whatever_is_averaged(dataset: SmallDataset, tmp_path: Path) -> None:
    found = predicted(dataset, tmp_path)
    assert found["level1"].shape == (5, *SHAPE)
    np.testing.assert_array_equal(np.array([0, 1, 1])[found["level2"]], found["level1"])
    orders = read_json(tmp_path / "predictions.json")["part_of_fold_for_each_part"]
    assert orders["level1"]["0"] == [0, 1] and orders["level2"]["0"] == [0, 1, 2]
    assert sorted(orders["level2"]["1"]) == [0, 1, 2] and orders["level2"]["1"][0] == 0


def test_a_level_alone_is_that_of_all(dataset: SmallDataset, tmp_path: Path) -> None:
    both = predicted(dataset, tmp_path / "both", "-f", "0", "--save_probabilities")
    alone = predicted(dataset, tmp_path / "alone", "-f", "0", "-l", "2")
    assert list(alone) == ["level2"]
    np.testing.assert_array_equal(alone["level2"], both["level2"])
    assert len(list((tmp_path / "both").glob("level?/*.b2nd"))) == 10


def test_training_a_level_that_nests_finds_it_done(
    dataset: SmallDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(["7", "3d_fullres", "0", "-l", "2", "-device", "cpu", *dataset.flags]) == 0
    assert "levels 1 2: finished already" in capsys.readouterr().out


def test_it_travels_in_a_zip(dataset: SmallDataset, tmp_path: Path) -> None:
    archive, results = tmp_path / "model.zip", tmp_path / "there"
    flags = ["--results", str(dataset.root / "results"), "-q"]
    assert model_zip.main_export(["-d", "7", "-f", "0", "-o", str(archive), *flags]) == 0
    assert model_zip.main_install([str(archive), "--results", str(results), "-q"]) == 0
    folder = results / dataset.raw.name / dataset.model.name
    assert (folder / "fold_0" / "levels" / "checkpoint_final.pth").is_file()
    here = predicted(dataset, tmp_path / "a", "-f", "0")
    there = predicted(dataset, tmp_path / "b", "-f", "0", results=results)
    for level, labels in here.items():
        np.testing.assert_array_equal(there[level], labels)


def test_the_report_shows_every_level_of_the_one_training(dataset: SmallDataset, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert report.main(["-d", "7", "-o", str(page), *dataset.flags, "-q"]) == 0
    text = page.read_text(encoding="utf-8")
    assert "levels 1 2" in text and "level 1" in text.lower() and "level 2" in text.lower()
    assert "is not trained" not in text


def test_levels_must_follow_each_other() -> None:
    levels = make_plan().configuration("3d_fullres").levels
    with pytest.raises(
        ValueError, match=r"levels are 2 1; with segmenter\.nested their numbers follow each other"
    ):
        make_plan(segmenter={"nested": True}, levels=levels[::-1])
