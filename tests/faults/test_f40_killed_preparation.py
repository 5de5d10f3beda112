"""F40: after a SIGKILL while a dataset is prepared, the same command finishes with the same files."""

from pathlib import Path

import pytest
from killing import different, kill_and_repeat
from planned import make_faulty
from small_volumes import cells

FLAGS = ["-d", "5", "-np", "0", "--no_pbar", "-q", "--preset", "fast"]
FLAGS += [text for name in ("raw", "preprocessed", "results") for text in (f"--{name}", f"{{root}}/{name}")]


def prepare_and_kill(tmp_path: Path, sample: int | None) -> int:
    start = make_faulty(tmp_path / "start", cells(2)).root
    whole, killed = kill_and_repeat(start, tmp_path, "plan_and_preprocess:main", FLAGS, sample)
    for root in killed:
        assert different(whole, root) == [], root.name
        assert not list((root / "preprocessed").rglob("*_3d_fullres/.dd_tmp_*"))
    return len(killed)


def test_killed_at_some_write_points(tmp_path: Path) -> None:
    assert prepare_and_kill(tmp_path, sample=4) >= 4


@pytest.mark.slow
def test_killed_at_every_write_point(tmp_path: Path) -> None:
    assert prepare_and_kill(tmp_path, sample=None) > 20
