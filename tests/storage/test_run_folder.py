import errno
import json
import logging
import os
import signal
import subprocess
import sys

import pytest

from dd_nnunet.core.errors import DiskError, UserError
from dd_nnunet.storage import run_folder
from dd_nnunet.storage.atomic import TEMPORARY_PREFIX
from dd_nnunet.storage.run_folder import is_finished, move_aside, open_run_folder

IDENTITY = {"fold": "0", "plan": {"batch_size": 2, "patch": (8, 8, 8)}, "seed": 1}
HOLDER = """
import pathlib, sys
from dd_nnunet.storage.run_folder import open_run_folder
with open_run_folder(pathlib.Path(sys.argv[1]), {}):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_process(tmp_path):
    """Another process that holds the run folder `held`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "held")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_new_folder_records_what_it_is(tmp_path):
    with open_run_folder(tmp_path / "fold_0" / "level1", IDENTITY) as run:
        debug = json.loads((run.path / "debug.json").read_text(encoding="utf-8"))
    assert debug["identity"] == {"fold": "0", "plan": {"batch_size": 2, "patch": [8, 8, 8]}, "seed": 1}
    (start,) = debug["starts"]
    assert start["pid"] == os.getpid()
    assert {"python", "dd_nnunet", "torch", "numpy"} <= set(start["versions"])


def test_the_same_run_opens_again(tmp_path):
    for _ in range(2):
        with open_run_folder(tmp_path, IDENTITY):
            pass
    debug = json.loads((tmp_path / "debug.json").read_text(encoding="utf-8"))
    assert len(debug["starts"]) == 2


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({**IDENTITY, "seed": 2}, "seed was 1, now 2"),
        ({**IDENTITY, "plan": {"batch_size": 4, "patch": (8, 8, 8)}}, "plan.batch_size was 2, now 4"),
        ({"fold": "0", "seed": 1}, 'plan was {"batch_size": 2, "patch": [8, 8, 8]}, now null'),
    ],
)
def test_another_run_is_refused_with_the_difference(tmp_path, other, difference):
    with open_run_folder(tmp_path, IDENTITY):
        pass
    with pytest.raises(UserError) as caught, open_run_folder(tmp_path, other):
        pass
    assert caught.value.where == str(tmp_path)
    assert caught.value.reason == f"holds a run of another identity: {difference}"
    assert "--fresh" in caught.value.remedy
    with open_run_folder(tmp_path, IDENTITY):
        pass


def test_changed_versions_are_warned_of(tmp_path, monkeypatch, caplog):
    with open_run_folder(tmp_path, IDENTITY):
        pass
    old = run_folder._versions()["python"]
    monkeypatch.setattr(run_folder.platform, "python_version", lambda: "9.9")
    with caplog.at_level(logging.WARNING), open_run_folder(tmp_path, IDENTITY):
        pass
    assert caplog.messages == [f'{tmp_path}: python changed from "{old}" to "9.9" since the last start']


def test_a_second_process_is_told_who_holds_the_folder(tmp_path, other_process):
    for _ in range(2):
        with pytest.raises(UserError) as caught, open_run_folder(tmp_path / "held", {}):
            pass
        assert caught.value.where == str(tmp_path / "held")
        assert caught.value.reason == f"is in use by process {other_process.pid} on {os.uname().nodename}"


def test_a_killed_holder_frees_the_folder(tmp_path, other_process):
    os.kill(other_process.pid, signal.SIGKILL)
    other_process.wait()
    with open_run_folder(tmp_path / "held", {}) as run:
        assert not run.finished


def test_a_folder_in_use_is_not_moved(tmp_path, other_process):
    for path in (tmp_path / "held", tmp_path):
        with pytest.raises(UserError, match="is in use by process"):
            move_aside(path)
    assert (tmp_path / "held" / "debug.json").exists()


def test_the_log_comes_back(tmp_path):
    entries = [{"epoch": 0, "loss": 0.5}, {"epoch": 1, "loss": None, "name": "ä"}]
    with open_run_folder(tmp_path, IDENTITY) as run:
        assert run.read_log() == []
        for entry in entries:
            run.append_log(entry)
        assert run.read_log() == entries
    assert (tmp_path / "log.jsonl").read_text(encoding="utf-8").count("\n") == 2


def test_what_is_no_number_is_logged_as_null(tmp_path):
    with open_run_folder(tmp_path, IDENTITY) as run:
        run.append_log({"loss": float("nan")})
        assert run.read_log() == [{"loss": None}]


def test_every_torn_last_line_is_left_out_and_healed(tmp_path):
    whole = b'{"epoch": 0}\n{"epoch": 1}\n'
    for length in range(len(whole) + 1):
        (tmp_path / "log.jsonl").write_bytes(whole[:length])
        expected = [{"epoch": 0}, {"epoch": 1}][: whole[:length].count(b"\n")]
        with open_run_folder(tmp_path, IDENTITY) as run:
            assert run.read_log() == expected
            run.append_log({"epoch": 9})
            assert run.read_log() == [*expected, {"epoch": 9}]


def test_a_broken_line_in_the_middle_is_an_error(tmp_path):
    (tmp_path / "log.jsonl").write_bytes(b'{"epoch": 0}\n{"epo\n{"epoch": 2}\n')
    with open_run_folder(tmp_path, IDENTITY) as run, pytest.raises(UserError) as caught:
        run.read_log()
    assert caught.value.where == f"{tmp_path / 'log.jsonl'}:2"


def test_the_log_is_cut_back_to_a_checkpoint(tmp_path):
    with open_run_folder(tmp_path, IDENTITY) as run:
        for epoch in range(5):
            run.append_log({"epoch": epoch})
        run.truncate_log(lambda entry: entry["epoch"] < 3)
        assert run.read_log() == [{"epoch": 0}, {"epoch": 1}, {"epoch": 2}]


def test_a_line_that_does_not_fit_is_taken_back(tmp_path, monkeypatch):
    with open_run_folder(tmp_path, IDENTITY) as run:
        run.append_log({"epoch": 0})

        def fail(descriptor):
            raise OSError(errno.ENOSPC, "injected")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(DiskError) as caught:
            run.append_log({"epoch": 1})
        monkeypatch.undo()
        assert caught.value.where == str(tmp_path / "log.jsonl")
        assert run.read_log() == [{"epoch": 0}]


def test_the_text_log_is_utf8_and_of_this_run_only(tmp_path):
    for name in ("a", "b"):
        with open_run_folder(tmp_path / name, IDENTITY) as run:
            run.logger.info("läuft in %s", name)
    for name in ("a", "b"):
        (log,) = (tmp_path / name).glob(f"training_log_*_{os.getpid()}.txt")
        (line,) = log.read_text(encoding="utf-8").splitlines()
        assert line.endswith(f"INFO läuft in {name}")


def test_finished_is_remembered(tmp_path):
    assert not is_finished(tmp_path / "none")
    with open_run_folder(tmp_path, IDENTITY) as run:
        assert not run.finished
        run.mark_finished({"best_epoch": 7})
        assert run.finished
    with open_run_folder(tmp_path, IDENTITY) as run:
        assert run.finished
    assert is_finished(tmp_path)
    assert json.loads((tmp_path / "finished.json").read_text(encoding="utf-8")) == {"best_epoch": 7}


def test_leftovers_of_a_killed_run_are_removed(tmp_path):
    (tmp_path / f"{TEMPORARY_PREFIX}1.pth").write_bytes(b"half")
    with open_run_folder(tmp_path, IDENTITY):
        assert not list(tmp_path.glob(f"{TEMPORARY_PREFIX}*"))


def test_moving_aside_keeps_everything(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "_timestamp", lambda: "2024_01_02_03_04_05")
    fold = tmp_path / "fold_0"
    moved = []
    for number in range(3):
        with open_run_folder(fold / "level1", {"number": number}) as run:
            run.append_log({"number": number})
        moved.append(move_aside(fold))
        assert not fold.exists()
    assert [path.name for path in moved] == [
        "fold_0.bak_2024_01_02_03_04_05",
        "fold_0.bak_2024_01_02_03_04_05_2",
        "fold_0.bak_2024_01_02_03_04_05_3",
    ]
    for number, path in enumerate(moved):
        assert json.loads((path / "level1" / "log.jsonl").read_text(encoding="utf-8")) == {"number": number}


def test_there_may_be_nothing_to_move(tmp_path):
    assert move_aside(tmp_path / "none") is None


def test_a_broken_debug_json_is_named(tmp_path):
    (tmp_path / "debug.json").write_text('{"identity": {}}', encoding="utf-8")
    with pytest.raises(UserError, match="lacks the key 'starts'") as caught, open_run_folder(tmp_path, {}):
        pass
    assert caught.value.where == str(tmp_path / "debug.json")
