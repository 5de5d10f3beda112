import subprocess
import sys
from pathlib import Path

import pytest

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage.workspace import DatasetFolders, Workspace


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "raw", tmp_path / "preprocessed", tmp_path / "results")


def make(folder, *names):
    for name in names:
        (folder / name).mkdir(parents=True)


@pytest.mark.parametrize("wanted", [7, "7", "007", "Dataset007_Cells", " 7 "])
def test_by_number_or_name(workspace, wanted):
    make(workspace.raw, "Dataset007_Cells", "Dataset008_Others")
    dataset = workspace.dataset(wanted)
    assert dataset == DatasetFolders(
        "Dataset007_Cells",
        workspace.raw / "Dataset007_Cells",
        workspace.preprocessed / "Dataset007_Cells",
        workspace.results / "Dataset007_Cells",
    )


@pytest.mark.parametrize("wanted", [9, "Dataset009_None", "Dataset007", "cells", "-7", "../raw", ""])
def test_an_unknown_dataset_lists_the_known(workspace, wanted):
    make(workspace.raw, "Dataset007_Cells", "Dataset008_Others")
    with pytest.raises(UserError, match="known datasets: Dataset007_Cells, Dataset008_Others"):
        workspace.dataset(wanted)


@pytest.mark.parametrize("part", ["preprocessed", "results"])
def test_a_dataset_without_raw_data(workspace, part):
    make(getattr(workspace, part), "Dataset007_Cells")
    dataset = workspace.dataset(7)
    assert dataset.raw is None
    assert dataset.dataset_json == workspace.preprocessed / "Dataset007_Cells" / "dataset.json"
    with pytest.raises(UserError, match="its raw folder is missing"):
        _ = dataset.images_tr


def test_strangers_are_no_datasets(workspace):
    make(workspace.raw, "Dataset007_Cells", "Dataset7_Short", "notes", "Dataset008")
    assert workspace.dataset_names() == ("Dataset007_Cells",)


def test_where_the_files_lie():
    dataset = DatasetFolders(
        "Dataset007_N", Path("/r/Dataset007_N"), Path("/p/Dataset007_N"), Path("/s/Dataset007_N")
    )
    places = {
        dataset.images_tr: "/r/Dataset007_N/imagesTr",
        dataset.images_ts: "/r/Dataset007_N/imagesTs",
        dataset.labels_tr: "/r/Dataset007_N/labelsTr",
        dataset.labels_ts: "/r/Dataset007_N/labelsTs",
        dataset.dataset_json: "/r/Dataset007_N/dataset.json",
        dataset.fingerprint_json: "/p/Dataset007_N/dataset_fingerprint.json",
        dataset.splits_json: "/p/Dataset007_N/splits_final.json",
        dataset.plans_json("ddPlans"): "/p/Dataset007_N/ddPlans.json",
        dataset.prepared("ddPlans", "3d_fullres"): "/p/Dataset007_N/ddPlans_3d_fullres",
        dataset.model("ddPlans", "3d_fullres"): "/s/Dataset007_N/ddTrainer__ddPlans__3d_fullres",
        dataset.baseline("kmeans", "ddPlans", "3d_fullres"): (
            "/s/Dataset007_N/ddBaseline__kmeans__ddPlans__3d_fullres"
        ),
    }
    assert {str(path) for path in places} == set(places.values())
    assert all(str(path) == text for path, text in places.items())


def test_importing_it_loads_nothing_heavy():
    program = (
        "import sys, dd_nnunet.storage.workspace\n"
        "print([m for m in ('numpy', 'torch', 'SimpleITK', 'scipy', 'blosc2') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True
    )
    assert result.stdout.strip() == "[]"


def test_nnunets_raw_folder_is_read_but_not_written(monkeypatch, tmp_path):
    monkeypatch.delenv("dd_raw", raising=False)
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    workspace = Workspace.from_environment()
    assert workspace.raw_folder() == tmp_path
    with pytest.raises(UserError, match="is never written"):
        workspace.own_raw_folder()
    assert Workspace.from_environment(raw=tmp_path / "mine").own_raw_folder() == tmp_path / "mine"
