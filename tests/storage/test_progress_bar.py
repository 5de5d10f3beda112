"""Bars: often for eyes, seldom in a file, and nothing else of the process is touched."""

import os

import pytest

from dd_nnunet.storage.progress_bar import progress_bar


def run_through(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], watched: bool) -> int:
    """Go through many items in steps of the bar's clock of a second; how often it drew."""
    seconds = iter(range(10_000))
    monkeypatch.setattr("tqdm.std.time", lambda: float(next(seconds)))
    monkeypatch.setattr("sys.stderr.isatty", lambda: watched)
    for _ in progress_bar(range(100), miniters=1):
        pass
    monkeypatch.undo()
    return capsys.readouterr().err.count("\r")


def test_a_bar_in_a_file_draws_every_ten_seconds(monkeypatch, capsys):
    before = dict(os.environ)
    in_a_file, watched = (run_through(monkeypatch, capsys, state) for state in (False, True))
    assert watched >= 100
    assert 9 <= in_a_file <= 13
    assert dict(os.environ) == before


def test_options_are_those_of_tqdm(capsys):
    bar = progress_bar(total=3, desc="cells", unit="case")
    bar.update(3)
    bar.close()
    shown = capsys.readouterr().err
    assert "cells: 100%" in shown and "3/3" in shown and "case/s" in shown
    assert list(progress_bar([1, 2], disable=True)) == [1, 2]
    assert capsys.readouterr().err == ""
