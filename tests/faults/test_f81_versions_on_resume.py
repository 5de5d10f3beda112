"""F81: other versions on resume are warned of and recorded in debug.json; with --strict_env they are an error."""

from small_dataset import make_trainable

from dd_nnunet.storage import run_folder
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.hardware import nvidia_driver

DRIVER = """NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023
GCC version:  gcc version 11.4.0 (Ubuntu 11.4.0-1ubuntu1~22.04)
"""


def test_changed_versions(tmp_path, monkeypatch, capsys):
    trainable = make_trainable(tmp_path, monkeypatch)
    assert trainable.train("-q", "--stage", "diffusion", "--max_time", "1e-9") == 75
    debug = trainable.fold / "diffusion" / "debug.json"
    before = debug.read_bytes()
    versions = run_folder._versions
    old = versions()["torch"]
    monkeypatch.setattr(run_folder, "_versions", lambda: versions() | {"torch": "9.9"})
    capsys.readouterr()

    assert trainable.train("-q", "--stage", "diffusion", "--strict_env") == 2
    said = f'{trainable.fold / "diffusion"}: torch changed from "{old}" to "9.9" since the last start'
    error = capsys.readouterr().err
    assert error == f"dd_train: error: {said}; install the old versions, or leave out --strict_env\n"
    assert debug.read_bytes() == before

    assert trainable.train("-q", "--stage", "diffusion") == 0
    assert said in capsys.readouterr().out
    assert said in "".join(path.read_text() for path in debug.parent.glob("training_log_*.txt"))
    starts = read_json(debug)["starts"]
    assert [start["versions"]["torch"] for start in starts] == [old, "9.9"]

    assert trainable.train("-q", "--stage", "diffusion", "--strict_env") == 0  # the same as at the last start
    assert {"python", "numpy", "torch", "nvidia_driver"} <= set(starts[0]["versions"])


def test_the_driver_version_is_read(tmp_path):
    assert nvidia_driver(tmp_path) is None
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia/version").write_text(DRIVER)
    assert nvidia_driver(tmp_path) == "535.104.05"
