"""F36: a read-only raw dataset is verified, planned, prepared, trained and predicted; nothing in it is touched."""

import json

import pytest
from fault_files import write_voxels
from small_dataset import make_trainable
from small_model import make_model
from small_volumes import cell

from dd_nnunet.commands import plan_and_preprocess, predict, verify
from dd_nnunet.storage.raw_dataset import find_cases, load_description
from dd_nnunet.storage.volume import read_geometry, read_volume
from dd_nnunet.storage.workspace import Workspace


@pytest.fixture
def raw(tmp_path):
    """A raw folder without write permission anywhere."""
    dataset = tmp_path / "raw" / "Dataset001_Cells"
    write_voxels(dataset / "imagesTr" / "a_0000.nrrd", cell(0))
    text = json.dumps({"channel_names": {"0": "EM"}, "numTraining": 1, "file_ending": ".nrrd"})
    (dataset / "dataset.json").write_text(text, encoding="utf-8")
    entries = [tmp_path / "raw", *(tmp_path / "raw").rglob("*")]
    for entry in entries:
        entry.chmod(0o555 if entry.is_dir() else 0o444)
    yield tmp_path / "raw"
    for entry in entries:
        entry.chmod(0o755)


def state(folder):
    return {entry: (entry.stat().st_mtime_ns, entry.stat().st_size) for entry in folder.rglob("*")}


def test_reading_works_and_leaves_no_trace(raw, tmp_path):
    before = state(raw)
    dataset = Workspace(raw, tmp_path / "preprocessed", tmp_path / "results").dataset(1)
    (case,) = find_cases(dataset.images_tr, load_description(dataset))
    assert (read_volume(case.channel_files).array[0] == cell(0)).all()
    assert read_geometry(case.channel_files[0]).size_xyz == (16, 16, 16)
    assert state(raw) == before


def test_it_is_verified_planned_and_prepared(raw, tmp_path, capsys):
    before = state(raw)
    places = ["--raw", str(raw), "--preprocessed", str(tmp_path / "p"), "--results", str(tmp_path / "r")]
    arguments = ["-d", "1", "-np", "0", "--no_pbar", *places]
    assert verify.main(arguments) == 0
    assert plan_and_preprocess.main([*arguments, "--preset", "fast"]) == 0
    assert (tmp_path / "p" / "Dataset001_Cells" / "ddPlans_3d_fullres" / "a.b2nd").is_file()
    assert state(raw) == before


def test_training_scoring_and_prediction_leave_it_as_it_is(tmp_path, monkeypatch):
    trainable = make_trainable(tmp_path, monkeypatch)
    raw = trainable.folders.raw
    before = state(raw)
    assert trainable.train("-q", "-l", "1") == 0
    assert (trainable.fold / "level1" / "validation" / "summary.json").is_file()
    arguments = ["-d", "7", "-f", "all", "-l", "1", "-i", str(raw / "imagesTr"), "-o", str(tmp_path / "out")]
    flags = ["-device", "cpu", "--disable_tta", "-q", *trainable.flags]
    assert predict.main([*arguments, *flags]) == 0
    assert state(raw) == before


@pytest.mark.parametrize("place", ["", "imagesTr", "imagesTr/parts", "predicted"])
def test_nothing_is_predicted_into_a_raw_dataset(tmp_path, monkeypatch, capsys, place):
    dataset = make_trainable(tmp_path, monkeypatch)
    make_model(dataset.workspace.results_folder())
    before = state(dataset.raw)
    arguments = ["-d", "7", "-i", str(dataset.raw / "imagesTr"), "-o", str(dataset.raw / place)]
    assert predict.main([*arguments, "-device", "cpu", *dataset.flags]) == 2
    assert "lies in the raw dataset Dataset007_Cells, which is never written" in capsys.readouterr().err
    assert state(dataset.raw) == before
