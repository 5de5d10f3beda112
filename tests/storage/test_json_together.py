"""Several processes write and read one JSON file: whoever reads finds one whole version, never a torn one."""

import os
import subprocess
import sys
from pathlib import Path

from dd_nnunet.storage.atomic import read_json, write_json

ROOT = Path(__file__).parents[2]
N_WRITERS, N_VERSIONS = 4, 40
# the version of a writer is a list of many equal numbers, so that a torn or mixed file shows
WRITE = """
import pathlib, sys
from dd_nnunet.storage.atomic import write_json
sys.stdin.readline()
for version in range(int(sys.argv[3])):
    number = 1000 * int(sys.argv[2]) + version
    write_json(pathlib.Path(sys.argv[1]), {"numbers": [number] * (5000 + 50 * version)})
"""


def test_no_reader_sees_a_torn_file(tmp_path):
    path = tmp_path / "shared.json"
    write_json(path, {"numbers": [0]})
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE, str(path), str(number), str(N_VERSIONS)],
            stdin=subprocess.PIPE, encoding="utf-8", env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for number in range(1, N_WRITERS + 1)
    ]  # fmt: skip
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    seen = set()
    while any(writer.poll() is None for writer in writers):
        numbers = read_json(path)["numbers"]
        (version,) = set(numbers)
        assert len(numbers) == (5000 + 50 * (version % 1000) if version else 1)
        seen.add(version)
    for writer in writers:
        writer.stdin.close()
    assert [writer.returncode for writer in writers] == [0] * N_WRITERS
    assert len(seen) > N_WRITERS
    assert [entry.name for entry in tmp_path.iterdir()] == ["shared.json"]
