import json

import numpy as np
import pytest
from small_dataset import CASES, make_dataset, true_labels
from small_plan import DESCRIPTION

from dd_nnunet.commands import evaluate
from dd_nnunet.core.case import Geometry
from dd_nnunet.storage.volume import read_label_map, write_labels


@pytest.fixture
def dataset(tmp_path):
    return make_dataset(tmp_path)


@pytest.fixture
def predictions(dataset, tmp_path):
    """Perfect ones, of two levels."""
    for case in CASES:
        truth, geometry = read_label_map(dataset.folders.labels_tr / f"{case}.nii.gz")
        write_labels(tmp_path / f"out/level1/{case}.nii.gz", (truth > 0).astype(np.uint8), geometry)
        write_labels(tmp_path / f"out/level2/{case}.nii.gz", truth, geometry)
    return tmp_path / "out"


def test_every_level_is_scored_and_printed(dataset, predictions, capsys):
    assert evaluate.main([str(predictions), str(dataset.folders.labels_tr)]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.split("5 cases")[0].splitlines())) <= 80
    assert shown.count("1.000") == 6
    assert "5 cases, 0 predictions missing" in shown
    for level, n_parts in ((1, 2), (2, 3)):
        summary = json.loads((predictions / f"level{level}/summary.json").read_text())
        assert summary["protocols"]["strict"]["dice"] == 1.0
        assert summary["n_parts"] == n_parts
    assert summary["nesting"]["violation_rate"] == 0.0


def test_a_flat_folder_needs_its_level(dataset, predictions, capsys):
    flat, truth = str(predictions / "level2"), str(dataset.folders.labels_tr)
    assert evaluate.main([flat, truth]) == 2
    assert "say which with -l N" in capsys.readouterr().err
    assert evaluate.main([flat, truth, "-l", "2", "--protocol", "hsu"]) == 0
    shown = capsys.readouterr().out
    assert "hsu" in shown and "foreground " not in shown.splitlines()[0]


def test_a_trained_fold_with_some_cases(dataset, predictions, tmp_path, capsys):
    for level in (1, 2):
        folder = tmp_path / f"fold_0/level{level}/validation"
        folder.mkdir(parents=True)
        (folder / "a.nii.gz").write_bytes((predictions / f"level{level}/a.nii.gz").read_bytes())
    arguments = [str(tmp_path / "fold_0"), str(dataset.folders.labels_tr), "--parts", "2", "3"]
    assert evaluate.main([*arguments, "--chill"]) == 0
    assert "1 case, 0 predictions missing" in capsys.readouterr().out
    assert evaluate.main(arguments) == 0
    assert "5 cases, 4 predictions missing" in capsys.readouterr().out
    summary = json.loads((tmp_path / "fold_0/level2/validation/summary.json").read_text())
    assert summary["protocols"]["strict"]["dice"] == pytest.approx(1 / 5)
    assert summary["missing"] == ["b", "c", "d", "e"]


def test_dataset_json_by_file_and_by_dataset(dataset, predictions, tmp_path, capsys):
    truth = tmp_path / "elsewhere" / "truth"
    truth.mkdir(parents=True)
    for file in dataset.folders.labels_tr.iterdir():
        (truth / file.name).write_bytes(file.read_bytes())
    assert evaluate.main([str(predictions), str(truth)]) == 2
    assert "-djfile" in capsys.readouterr().err
    assert evaluate.main([str(predictions), str(truth), "-d", "7", *dataset.flags]) == 0
    (tmp_path / "my.json").write_text(json.dumps(DESCRIPTION))
    assert evaluate.main([str(predictions), str(truth), "-djfile", str(tmp_path / "my.json")]) == 0


def test_swapped_folders_are_refused(dataset, predictions, capsys):
    assert evaluate.main([str(dataset.folders.labels_tr), str(predictions / "level2"), "-l", "2"]) == 2
    error = capsys.readouterr().err
    assert "the order is PREDICTIONS TRUTH" in error
    assert not (dataset.folders.labels_tr / "summary.json").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-l", "3"], "has no level3; levels there: [1, 2]"),
        (["--parts", "2"], "give a number from 2 for each of the levels [1, 2]"),
        (["--parts", "2", "2"], "holds parts 0 to 2; allowed: 0 to 1"),
    ],
)
def test_wrong_flags(dataset, predictions, capsys, flags, message):
    assert evaluate.main([str(predictions), str(dataset.folders.labels_tr), *flags]) == 2
    assert message in capsys.readouterr().err


def test_a_typo_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        evaluate.main(["a", "b", "--protocl", "hsu"])
    assert caught.value.code == 2
    assert "did you mean --protocol?" in capsys.readouterr().err


def test_spacing_reaches_the_distance(dataset, tmp_path):
    """Every part shifted by one slice of 2 mm."""
    truth, geometry = read_label_map(dataset.folders.labels_tr / "a.nii.gz")
    assert isinstance(geometry, Geometry) and (truth == true_labels(0)).all()
    write_labels(tmp_path / "out/a.nii.gz", np.roll(truth, 1, axis=0), geometry)
    arguments = [str(tmp_path / "out"), str(dataset.folders.labels_tr), "-l", "2", "--chill"]
    assert evaluate.main(arguments) == 0
    strict = json.loads((tmp_path / "out/summary.json").read_text())["protocols"]["strict"]
    assert strict["hd95_mm_per_class"]["nucleus"] == 2.0
