import json

import pytest
from fault_files import VOXELS, write_volume

from dd_nnunet.storage.raw_dataset import find_cases, load_description
from dd_nnunet.storage.volume import read_geometry, read_volume
from dd_nnunet.storage.workspace import Workspace


@pytest.fixture
def raw(tmp_path):
    """A raw folder without write permission anywhere."""
    dataset = tmp_path / "raw" / "Dataset001_Cells"
    write_volume(dataset / "imagesTr" / "a_0000.nrrd")
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
    assert (read_volume(case.channel_files).array[0] == VOXELS).all()
    assert read_geometry(case.channel_files[0]).size_xyz == (6, 5, 4)
    assert state(raw) == before
