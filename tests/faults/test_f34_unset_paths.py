"""F34: an unset folder is an error that shows all three and how to set them; quotes, spaces and ~ are understood."""

from pathlib import Path

import pytest
from fault_files import error_of

from dd_nnunet.storage.workspace import Workspace

VARIABLES = ("dd_raw", "nnUNet_raw", "dd_preprocessed", "dd_results")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_the_error_shows_all_three_and_how_to_set_them(monkeypatch):
    monkeypatch.setenv("dd_raw", "/data/raw")
    error = error_of(Workspace.from_environment(results="/data/results").dataset, 1)
    assert error.where == "dd_preprocessed"
    assert error.reason == (
        "the folder is not set (dd_raw=/data/raw, dd_preprocessed=(unset), dd_results=/data/results)"
    )
    assert error.remedy == "give it as --preprocessed DIR or run: export dd_preprocessed=DIR"


def test_only_a_needed_folder_is_missed(monkeypatch):
    monkeypatch.setenv("dd_raw", "/data/raw")
    assert Workspace.from_environment().raw_folder() == Path("/data/raw")


@pytest.mark.parametrize("text", ["/data/raw", " /data/raw ", "'/data/raw'", '"/data/raw"', ' "/data/raw" '])
def test_quotes_and_spaces_are_stripped(monkeypatch, text):
    monkeypatch.setenv("dd_raw", text)
    assert Workspace.from_environment().raw == Path("/data/raw")
    assert Workspace.from_environment(raw=text).raw == Path("/data/raw")


def test_the_home_folder_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("dd_results", "~/results")
    assert Workspace.from_environment().results == Path("/home/someone/results")


def test_an_empty_variable_is_unset(monkeypatch):
    monkeypatch.setenv("dd_results", "  ")
    assert Workspace.from_environment().results is None


def test_nnunet_raw_is_the_second_choice_and_flags_win(monkeypatch):
    monkeypatch.setenv("nnUNet_raw", "/nnunet")
    assert Workspace.from_environment().raw == Path("/nnunet")
    monkeypatch.setenv("dd_raw", "/dd")
    assert Workspace.from_environment().raw == Path("/dd")
    assert Workspace.from_environment(raw="/flag").raw == Path("/flag")
