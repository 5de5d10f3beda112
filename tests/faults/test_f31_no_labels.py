"""F31: a dataset without labelsTr is a normal case; evaluation says that there are no labels."""

import shutil

import pytest
from small_dataset import CASES, make_dataset, make_trainable
from small_plan import DESCRIPTION

from dd_nnunet.commands import accumulate, baseline, evaluate
from dd_nnunet.storage.atomic import write_json


@pytest.fixture
def dataset(tmp_path):
    return make_dataset(tmp_path, labels=False)


def test_a_baseline_runs_without_labels(dataset, capsys):
    assert baseline.main(["-d", "7", "--method", "kmeans", *dataset.flags]) == 0
    assert "no labels" in capsys.readouterr().out
    output = dataset.folders.baseline("kmeans", "ddPlans", "3d_fullres")
    assert len(list(output.glob("fold_*/level2/validation/*.nii.gz"))) == 5
    assert not list(output.rglob("summary.json"))

    assert accumulate.main(["-d", "7", "--baseline", "kmeans", *dataset.flags]) == 0
    assert "no labels" in capsys.readouterr().out
    gathered = output / "crossval_results_folds_0_1_2_3_4" / "level1"
    assert sorted(path.name for path in gathered.iterdir()) == [f"{case}.nii.gz" for case in CASES]


def test_it_is_trained_and_predicted_and_says_so(tmp_path, monkeypatch, capsys):
    trainable = make_trainable(tmp_path, monkeypatch)
    folders = trainable.folders
    shutil.rmtree(folders.labels_tr)
    described = {key: value for key, value in DESCRIPTION.items() if key not in ("labels", "levels")}
    for folder in (folders.raw, folders.preprocessed):
        write_json(folder / "dataset.json", described)
    assert trainable.train("-l", "1") == 0
    assert "no labels" in capsys.readouterr().out
    validation = trainable.fold / "level1" / "validation"
    assert sorted(path.name for path in validation.glob("*.nii.gz")) == [f"{case}.nii.gz" for case in CASES]
    assert not (validation / "summary.json").exists()


def test_evaluation_without_labels_is_one_line(dataset, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    labels = dataset.folders.labels_tr
    assert evaluate.main([str(tmp_path / "out"), str(labels), "-l", "1", "-d", "7", *dataset.flags]) == 2
    assert "names no labels" in capsys.readouterr().err


def test_evaluation_with_an_empty_label_folder_is_one_line(tmp_path, capsys):
    dataset = make_dataset(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "truth").mkdir()
    flags = ["-l", "1", "-d", "7", *dataset.flags]
    assert evaluate.main([str(tmp_path / "out"), str(tmp_path / "truth"), *flags]) == 2
    assert "holds no true labels" in capsys.readouterr().err
