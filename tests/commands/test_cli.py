"""What all commands share: exit codes, one line per error, strict flags, quick help."""

import argparse
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dd_nnunet.commands import cli
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
        "heavy = {'torch', 'SimpleITK', 'scipy', 'matplotlib', 'skimage', 'blosc2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage: dd_" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert "None)" not in done.stdout
