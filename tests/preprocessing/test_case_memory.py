"""What a worker really needs, in a process of its own, beside what is estimated for it; and it never loads torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from dd_nnunet.preprocessing.case_memory import bytes_to_fingerprint, bytes_to_preprocess

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="read from Linux' /proc")
TESTS = Path(__file__).parents[1]
# peak memory of measuring, then of preparing, a case onto its own grid
WORK = f"""
import json, pathlib, sys
sys.path.insert(0, {str(TESTS)!r})
from dd_nnunet.preprocessing import dataset
from dd_nnunet.core.dataset import CaseFiles
from dd_nnunet.core.plan import STRICT
case = CaseFiles("a", (pathlib.Path(sys.argv[1]),))
if sys.argv[2] == "measure":
    dataset._measure(case, STRICT, with_hashes=True)
else:
    from small_plan import AT_1_MM
    dataset._prepare(case, AT_1_MM, pathlib.Path(sys.argv[1]).parent, "x")
# not ru_maxrss, in which a started process begins with the memory of the one that started it
status = pathlib.Path("/proc/self/status").read_text()
print(json.dumps([1024 * int(status.split("VmHWM:")[1].split()[0]), "torch" in sys.modules]))
"""


def ball(folder: Path, size: int) -> Path:
    centred = np.indices((size,) * 3) - size / 2
    noise = np.random.default_rng(0).normal(100, 20, (size,) * 3)
    image = (300 * ((centred**2).sum(axis=0) < (size / 3) ** 2) + noise).astype(np.int16)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(image), str(folder / "a.nii"))
    return folder / "a.nii"


def peak_of(work: str, volume: Path) -> float:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WORK, str(volume), work]
    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8", env=environment)
    n_bytes, with_torch = json.loads(done.stdout)
    assert not with_torch
    return float(n_bytes)


@pytest.mark.parametrize("size", [96, pytest.param(128, marks=pytest.mark.slow)])
def test_measuring_a_case_needs_what_is_estimated(tmp_path: Path, size: int) -> None:
    peak = peak_of("measure", ball(tmp_path, size))
    assert peak < bytes_to_fingerprint((size,) * 3, 1) < 1.2 * peak


def test_preparing_a_case_needs_no_more_than_is_estimated(tmp_path: Path) -> None:
    shape = (64, 64, 64)
    assert peak_of("prepare", ball(tmp_path, 64)) < bytes_to_preprocess(shape, shape, 1)
