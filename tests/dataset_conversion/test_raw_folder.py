"""A raw dataset is made whole or not at all."""

import errno

import numpy as np
import pytest
from small_volumes import straight_grid

from dataset_conversion.raw_folder import dataset_name, new_dataset, write_channels, write_dataset_json
from dd_nnunet.core.errors import DiskError, UserError
from dd_nnunet.storage.raw_dataset import find_cases, load_description
from dd_nnunet.storage.volume import read_volume
from dd_nnunet.storage.workspace import Workspace


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "raw", None, None)


def names_in(workspace):
    return sorted(path.name for path in workspace.raw.iterdir())


def test_names():
    assert dataset_name(7, "Cells") == "Dataset007_Cells"
    assert dataset_name(1234, "Zellen_für-2+3.1") == "Dataset1234_Zellen_für-2+3.1"
    for dataset_id, name in ((0, "Cells"), (-3, "Cells"), (7, "a/b"), (7, ""), (7, "a b")):
        with pytest.raises(UserError):
            dataset_name(dataset_id, name)


def test_a_dataset_that_reads_back(workspace):
    geometry = straight_grid((4, 2, 3), (2.0, 0.75, 0.5), (1.0, -2.0, 3.0))
    channels = [np.arange(24, dtype=np.int16).reshape(4, 2, 3) * k for k in (1, -5)]
    with new_dataset(workspace, "Dataset007_Cells", overwrite=False) as folder:
        write_channels(folder / "imagesTr", "a", channels, geometry)
        write_dataset_json(
            folder,
            ["light", "dark"],
            1,
            {"background": 0, "cell": 1},
            {"parts": {"level1": 2}, "levels": {"level1": {"background": (0,), "cell": (1,)}}},
        )
    target = workspace.raw / "Dataset007_Cells"
    assert names_in(workspace) == ["Dataset007_Cells"]
    description = load_description(target)
    assert description.channel_names == ("light", "dark")
    assert description.parts == (2,)
    assert description.classes_of_level(1) == {"background": (0,), "cell": (1,)}
    assert description.n_training_stated == 1
    (case,) = find_cases(target / "imagesTr", description)
    volume = read_volume(case.channel_files)
    np.testing.assert_array_equal(volume.array, np.stack(channels))
    assert volume.geometry == geometry
    assert volume.source_dtypes == ("int16", "int16")


def test_an_error_leaves_nothing(workspace):
    with (
        pytest.raises(RuntimeError, match="half way"),
        new_dataset(workspace, "Dataset007_Cells", False) as folder,
    ):
        (folder / "half").write_text("half")
        raise RuntimeError("half way")
    assert names_in(workspace) == []


def test_a_full_disk_keeps_the_old_dataset(workspace):
    make(workspace, "Dataset007_Cells", "old")
    with pytest.raises(DiskError), new_dataset(workspace, "Dataset007_Cells", overwrite=True) as folder:
        (folder / "file").write_text("new")
        raise OSError(errno.ENOSPC, "full")
    assert names_in(workspace) == ["Dataset007_Cells"]
    assert (workspace.raw / "Dataset007_Cells/file").read_text() == "old"


def test_an_existing_dataset_is_replaced_only_when_asked(workspace):
    make(workspace, "Dataset007_Cells", "old")
    (workspace.raw / "Dataset007_Cells/only_old").write_text("")
    with pytest.raises(UserError, match=r"exists; .*--overwrite"):
        make(workspace, "Dataset007_Cells", "new")
    assert (workspace.raw / "Dataset007_Cells/file").read_text() == "old"
    make(workspace, "Dataset007_Cells", "new", overwrite=True)
    assert not (workspace.raw / "Dataset007_Cells/only_old").exists()
    assert (workspace.raw / "Dataset007_Cells/file").read_text() == "new"
    assert names_in(workspace) == ["Dataset007_Cells"]


def test_a_dataset_of_other_hands_is_never_replaced(workspace):
    dataset = workspace.raw / "Dataset007_Cells"
    dataset.mkdir(parents=True)
    with pytest.raises(UserError, match=r"dataset\.json: does not exist"):
        make(workspace, "Dataset007_Cells", "new", overwrite=True)
    (dataset / "dataset.json").write_text('{"channel_names": {"0": "CT"}, "file_ending": ".nii.gz"}')
    with pytest.raises(UserError, match="was not made by dd_nnunet"):
        make(workspace, "Dataset007_Cells", "new", overwrite=True)
    assert [path.name for path in dataset.iterdir()] == ["dataset.json"]


def test_a_number_is_given_once(workspace):
    make(workspace, "Dataset007_Cells", "")
    with pytest.raises(UserError, match="taken by Dataset007_Cells"):
        make(workspace, "Dataset007_Others", "", overwrite=True)
    with pytest.raises(UserError, match="taken by Dataset007_Cells"):
        make(workspace, "Dataset0007_Others", "")
    make(workspace, "Dataset1007_Others", "")


def test_two_processes_do_not_make_the_same_dataset(workspace):
    with new_dataset(workspace, "Dataset007_Cells", overwrite=False) as folder:
        (folder / "file").write_text("first")
        with pytest.raises(UserError, match="another process"):
            make(workspace, "Dataset007_Cells", "second")
    assert (workspace.raw / "Dataset007_Cells/file").read_text() == "first"


def test_what_a_killed_run_left_is_no_obstacle(workspace):
    leftover = workspace.raw / ".dd_tmp_Dataset007_Cells"
    leftover.mkdir(parents=True)
    (leftover / "half").write_text("half")
    make(workspace, "Dataset007_Cells", "whole")
    assert not (workspace.raw / "Dataset007_Cells/half").exists()
    assert names_in(workspace) == ["Dataset007_Cells"]


def make(workspace, full_name, content, overwrite=False):
    with new_dataset(workspace, full_name, overwrite) as folder:
        (folder / "file").write_text(content)
        write_dataset_json(folder, ["light"], 0, {})
