"""G8: planning, training, prediction and report use no network."""

from pathlib import Path

import pytest
from offline import run_offline

WHOLE_WAY = """
from pathlib import Path
from dd_nnunet.commands import plan_and_preprocess, predict, report, train
from balls import shorten, way_below, write_balls

way = way_below(Path({root!r}))
write_balls(way.raw)
images, out = str(way.raw / "imagesTr"), str(way.root / "out")
assert plan_and_preprocess.main(["-d", "42", "--preset", "fast", "-np", "1", *way.flags]) == 0
shorten(way)
assert train.main(["42", "3d_fullres", "0", "-l", "1", "-device", "cpu", *way.flags]) == 0
assert predict.main(["-d", "42", "-f", "0", "-l", "1", "-i", images, "-o", out, "-device", "cpu", *way.flags]) == 0
assert report.main(["-d", "42", "-f", "0", *way.flags]) == 0
"""


def test_the_whole_way_opens_no_network_socket(tmp_path: Path) -> None:
    (tmp_path / "driver").mkdir()
    done, attempts = run_offline(tmp_path / "driver", WHOLE_WAY.format(root=str(tmp_path / "way")))
    assert attempts == ""
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.socket()",
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')",
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'import socket; socket.socket()'], check=True)",
    ],
)
def test_the_driver_sees_the_network(tmp_path: Path, code: str) -> None:
    done, attempts = run_offline(tmp_path, code)
    assert done.returncode == 1
    assert attempts.count("\n") == 1


def test_the_driver_sees_what_somebody_catches(tmp_path: Path) -> None:
    code = "import contextlib, socket\nwith contextlib.suppress(OSError): socket.socket(socket.AF_INET6)"
    done, attempts = run_offline(tmp_path, code)
    assert (done.returncode, attempts.count("socket.__new__")) == (0, 1)
