"""F38: disk full while a dataset is prepared: exit 74 with needed and free bytes, nothing half, and it continues."""

import multiprocessing
import os
import re
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from full_disk import fill_disk, from_the_nth_on, needs_dev_full
from killing import different
from planned import Faulty, make_faulty
from small_volumes import cells, write_volume

from dd_nnunet.core.dataset import CaseFiles
from dd_nnunet.core.errors import DiskError
from dd_nnunet.preprocessing.parallel import Workers, map_cases
from dd_nnunet.storage.volume import IMAGE_IO

FULL = re.compile(
    r"dd_plan_and_preprocess: error: (?P<path>.+): no space left on the disk "
    r"\(\d+ bytes needed, \d+ free\); free some and run the same command again\n"
)


def temporary_files(dataset: Faulty) -> list[Path]:
    return list(dataset.root.rglob(".dd_tmp_*"))


@needs_dev_full
@pytest.mark.parametrize(
    ("ending", "n", "prepared_before"),
    [
        ("cell_1.b2nd", 1, ["cell_0"]),
        ("cell_1.json", 1, []),  # what was measured of it
        ("cell_1.json", 2, ["cell_0"]),
        ("manifest.json", 1, []),
        ("ddPlans.json", 1, []),
        ("dataset_fingerprint.json", 1, []),
    ],
)
def test_full_and_then_not(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    ending: str,
    n: int,
    prepared_before: list[str],
) -> None:
    dataset, whole = (make_faulty(tmp_path / name, cells(3)) for name in ("full", "whole"))
    for path in whole.raw.rglob("*"):  # the manifest notes when raw files were written
        twin = dataset.raw / path.relative_to(whole.raw)
        os.utime(path, ns=(twin.stat().st_mtime_ns,) * 2)
    fill_disk(monkeypatch, from_the_nth_on(n, ending))
    assert dataset.run("-q") == 74
    monkeypatch.undo()
    found = FULL.fullmatch(capfd.readouterr().err)
    assert found and found["path"].endswith(ending)
    assert temporary_files(dataset) == []
    times = {path: path.stat().st_mtime_ns for path in dataset.preprocessed.rglob("cell_0.b2nd")}
    assert [path.stem for path in times] == (["cell_0"] if prepared_before or "man" in ending else [])
    assert dataset.run("-q") == whole.run("-q") == 0
    kept = [path.stem for path, time in times.items() if path.stat().st_mtime_ns == time]
    assert kept == prepared_before
    assert different(dataset.root, whole.root) == []


def no_space(case: CaseFiles) -> None:
    raise DiskError(case.case_id, "no space left on the disk")


def test_processes_stop_at_the_first_case_that_does_not_fit() -> None:
    cases = [CaseFiles(f"case_{number}", (Path("none"),)) for number in range(50)]
    with pytest.raises(DiskError, match="case_0"):
        map_cases(no_space, cases, Workers(1), "preprocess")
    # a process that was told to end takes a moment
    end = time.monotonic() + 5
    while multiprocessing.active_children() and time.monotonic() < end:
        time.sleep(0.05)
    assert multiprocessing.active_children() == []


@needs_dev_full
@pytest.mark.parametrize("ending", IMAGE_IO)
def test_a_volume_that_does_not_fit_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """Of NIfTI too, whose writer in ITK says nothing."""
    voxels = np.random.default_rng(0).normal(size=(16, 16, 16)).astype(np.float32)
    path = tmp_path / f"a{ending}"
    write_volume(path, voxels)
    old = path.read_bytes()
    fill_disk(monkeypatch, lambda file: file.name == path.name)
    # the others say only that writing has failed; then it is the free space that tells why
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=7))
    with pytest.raises(DiskError, match=r"no space left on the disk \(16384 bytes needed, 7 free\)"):
        write_volume(path, voxels + 1)
    monkeypatch.undo()
    assert path.read_bytes() == old
    assert list(tmp_path.glob(".dd_tmp_*")) == []
