"""F40: after a SIGKILL while a dataset is prepared, the same command finishes with the same files."""

import signal
from pathlib import Path

import pytest
from killing import different, kill_and_repeat
from other_processes import end, start
from planned import make_faulty
from small_volumes import cells

FLAGS = ["-d", "5", "-np", "0", "--no_pbar", "-q", "--preset", "fast"]
FLAGS += [text for name in ("raw", "preprocessed", "results") for text in (f"--{name}", f"{{root}}/{name}")]

KILLED_AT_CELL_2 = """
import os, signal, sys
from dd_nnunet.commands.plan_and_preprocess import main
from dd_nnunet.preprocessing import dataset
prepare = dataset._prepare
def prepare_or_die(case, **settings):
    if case.case_id == "cell_2":
        os.kill(os.getpid(), signal.SIGKILL)
    return prepare(case, **settings)
# what is prepared is noted every other second; here at once
dataset._prepare, dataset.SAVE_SECONDS = prepare_or_die, -1.0
sys.exit(main(sys.argv[1:]))
"""


def prepare_and_kill(tmp_path: Path, sample: int | None) -> int:
    begun = make_faulty(tmp_path / "start", cells(2)).root
    whole, killed = kill_and_repeat(begun, tmp_path, "plan_and_preprocess:main", FLAGS, sample)
    for root in killed:
        assert different(whole, root) == [], root.name
        assert not list((root / "preprocessed").rglob("*_3d_fullres/.dd_tmp_*"))
    return len(killed)


def test_cases_that_were_prepared_are_not_prepared_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = make_faulty(tmp_path, cells(3))
    flags = ["-d", "5", "-np", "0", "--no_pbar", "-q", "--preset", "fast", *dataset.flags]
    assert end(start(KILLED_AT_CELL_2, *flags))[0] == -signal.SIGKILL
    prepared = dataset.preprocessed / "ddPlans_3d_fullres"
    before = {path.name: path.stat().st_mtime_ns for path in prepared.glob("*.b2nd")}
    assert sorted(before) == ["cell_0.b2nd", "cell_1.b2nd"]
    assert dataset.run() == 0
    assert "1 case prepared, 2 were prepared already" in capsys.readouterr().out
    assert {name: (prepared / name).stat().st_mtime_ns for name in before} == before


def test_killed_at_some_write_points(tmp_path: Path) -> None:
    assert prepare_and_kill(tmp_path, sample=4) >= 4


@pytest.mark.slow
def test_killed_at_every_write_point(tmp_path: Path) -> None:
    assert prepare_and_kill(tmp_path, sample=None) > 20
