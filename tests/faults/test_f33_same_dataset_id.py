"""F33: two datasets with one number are an error that lists both; Dataset100_ is never taken for Dataset1000_."""

import pytest
from fault_files import error_of
from planned import NAME, make_faulty
from small_volumes import cells

from dd_nnunet.commands import convert
from dd_nnunet.storage.workspace import Workspace

PARTS = ("raw", "preprocessed", "results")


@pytest.fixture
def workspace(tmp_path):
    return Workspace(*(tmp_path / part for part in PARTS))


def make(folder, *names):
    for name in names:
        (folder / name).mkdir(parents=True)


@pytest.mark.parametrize("first", PARTS)
@pytest.mark.parametrize("second", PARTS)
def test_both_are_listed_wherever_they_lie(workspace, first, second):
    make(getattr(workspace, first), "Dataset007_Cells")
    make(getattr(workspace, second), "Dataset007_Other")
    error = error_of(workspace.dataset, 7)
    assert (error.where, error.reason) == ("dataset 7", "is ambiguous: Dataset007_Cells, Dataset007_Other")
    assert error.remedy == "rename one, or give the full name"
    assert workspace.dataset("Dataset007_Other").name == "Dataset007_Other"


def test_one_number_with_and_without_zeros_is_one_number(workspace):
    make(workspace.raw, "Dataset007_Cells", "Dataset0007_Cells")
    assert error_of(workspace.dataset, 7).reason == "is ambiguous: Dataset0007_Cells, Dataset007_Cells"


def test_the_whole_number_is_compared(workspace):
    make(workspace.raw, "Dataset100_Small", "Dataset1000_Large", "Dataset010_Tiny")
    assert workspace.dataset(100).name == "Dataset100_Small"
    assert workspace.dataset(1000).name == "Dataset1000_Large"
    assert workspace.dataset(10).name == "Dataset010_Tiny"
    error = error_of(workspace.dataset, 1)
    assert error.remedy == "known datasets: Dataset010_Tiny, Dataset1000_Large, Dataset100_Small"


def test_a_command_ends_before_any_work(tmp_path, capsys):
    dataset = make_faulty(tmp_path, cells(1))
    make(tmp_path / "raw", "Dataset005_Twin")
    assert dataset.run() == 2
    assert f"dataset 5: is ambiguous: {NAME}, Dataset005_Twin" in capsys.readouterr().err
    assert not dataset.preprocessed.exists()


def test_a_converter_makes_no_second_one(tmp_path, capsys):
    dataset = make_faulty(tmp_path, cells(1))
    arguments = ["-i", str(dataset.raw / "imagesTr"), "-d", "5", "-n", "Twin", *dataset.flags]
    assert convert.main_folder(arguments) == 2
    assert f"its number is taken by {NAME}" in capsys.readouterr().err
    assert not (tmp_path / "raw" / "Dataset005_Twin").exists()
