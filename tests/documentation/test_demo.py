"""The demo, whole: it ends, and its scores reach the marks that check_demo.py sets."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
@pytest.mark.timeout(2700)
def test_the_demo_reaches_its_marks(tmp_path: Path) -> None:
    script = ROOT / "documentation" / "getting-started" / "demo.sh"
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", script, tmp_path / "demo"],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "all levels are above k-means" in done.stdout
    assert (tmp_path / "demo" / "report.html").stat().st_size > 100_000
