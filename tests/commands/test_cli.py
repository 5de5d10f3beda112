"""What all commands share: exit codes, one line per error, strict flags, quick help."""

import argparse
import errno
import importlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dd_nnunet.commands import cli, train, verify
from dd_nnunet.core.errors import DiskError, ManyErrors, SomeCasesFailedError, UserError

ROOT = Path(__file__).parent.parent.parent
TARGETS = {
    "plan_and_preprocess": ("main", "main_fingerprint", "main_plan", "main_preprocess"),
    "train": ("main",),
    "predict": ("main", "main_from_modelfolder"),
    "evaluate": ("main",),
    "baseline": ("main",),
    "accumulate": ("main",),
    "report": ("main",),
    "doctor": ("main",),
    "verify": ("main",),
    "model_zip": ("main_export", "main_install"),
    "convert": ("main_synthcell", "main_folder"),
    "convert_published": ("main_brats19", "main_hsu", "main_msd"),
}


def run(body: cli.Body, *argv: str) -> int:
    return cli.run(cli.make_parser("dd_test", "test"), body, argv)


def raising(error: BaseException) -> cli.Body:
    def body(_: argparse.Namespace) -> None:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("a.nii", "is bad", "mend it"), 2),
        (SomeCasesFailedError("in", "1 of 2 cases failed"), 3),
        (DiskError("out", "no space left"), 74),
        (OSError(errno.ENOSPC, "No space left on device", "out"), 74),
        (KeyboardInterrupt(), 75),
    ],
)
def test_each_error_has_its_code_and_one_line(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(raising(error)) == code
    said = capsys.readouterr().err
    assert said.startswith("dd_test: error: ")
    assert said.count("\n") == 1


def test_many_errors_take_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    errors = ManyErrors([UserError("a.nii", "is cut off"), UserError("b.nii", "holds NaN", "repair it")])
    assert run(raising(errors)) == 2
    assert capsys.readouterr().err.splitlines() == [
        "dd_test: error: a.nii: is cut off",
        "dd_test: error: b.nii: holds NaN; repair it",
    ]


def test_sigterm_is_a_clean_stop(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def body(_: argparse.Namespace) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()

    try:
        assert run(body) == 75
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "the same command continues" in capsys.readouterr().err


def test_our_own_bugs_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run(lambda _: 1 // 0)


@pytest.mark.parametrize("flag", ["--results_dir", "--verbos"])
def test_unknown_flags_are_refused_with_a_suggestion(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(lambda _: 0, flag)
    assert stop.value.code == 2
    assert "did you mean" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "function"), [(m, f) for m, functions in TARGETS.items() for f in functions]
)
def test_help_imports_nothing_heavy(module: str, function: str) -> None:
    code = (
        "import sys\n"
        f"from dd_nnunet.commands.{module} import {function} as main\n"
        "try:\n    main(['-h'])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'torch', 'SimpleITK', 'scipy', 'matplotlib', 'skimage', 'blosc2', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage: dd_" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert "None)" not in done.stdout


@pytest.mark.parametrize(
    ("module", "function", "flags", "given_with"),
    [
        ("predict", "main", ["-d", "7", "-o", "out", "-i"], "-i "),
        ("predict", "main_from_modelfolder", ["-m", "model", "-o", "out", "-i"], "-i "),
        ("convert", "main_folder", ["-d", "7", "-n", "New", "-i"], "-i "),
        ("convert", "main_folder", ["-d", "7", "-n", "New", "-i", ".", "--labels"], "--labels "),
        ("evaluate", "main", ["."], ""),
    ],
)
def test_a_file_instead_of_a_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: str,
    function: str,
    flags: list[str],
    given_with: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.nii.gz").touch()
    for name in ("Dataset007_Cells", "model"):
        (tmp_path / name).mkdir()
    main = getattr(importlib.import_module(f"dd_nnunet.commands.{module}"), function)
    places = ["--raw", ".", "--preprocessed", ".", "--results", "."]
    assert main([*flags, "a.nii.gz", *places]) == 2
    found = capsys.readouterr().err
    assert re.search(r"error: a\.nii\.gz: is a file, a folder of [a-z ]+ is wanted; give its folder: ", found)
    assert found.endswith(f"give its folder: {given_with}{tmp_path}\n")
    if module != "evaluate":
        assert main([*flags, "nowhere", *places]) == 2
        assert "error: nowhere: does not exist; a folder of " in capsys.readouterr().err


@pytest.mark.parametrize("seed", ["-1", "1.5", "x"])
def test_a_seed_is_a_whole_number_from_0(seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        train.main(["7", "3d_fullres", "0", "--seed", seed])
    assert stop.value.code == 2
    expected = f"argument --seed: {seed!r} is not allowed; give a whole number from 0\n"
    assert capsys.readouterr().err.endswith(expected)


def test_a_path_instead_of_a_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "Dataset007_Cells").mkdir()
    file = tmp_path / "a.nii.gz"
    file.touch()
    rest = ["--preprocessed", str(tmp_path), "--results", str(tmp_path)]
    assert verify.main(["-d", str(file), "--raw", str(tmp_path), *rest]) == 2
    expected = "give a number or a name, not a path; known datasets: Dataset007_Cells"
    assert expected in capsys.readouterr().err
    assert verify.main(["-d", "7", "--raw", str(file), *rest]) == 2
    expected = (
        f"a.nii.gz: is a file, a folder of datasets is wanted; give a folder of datasets, e.g. {tmp_path}"
    )
    assert expected in capsys.readouterr().err
