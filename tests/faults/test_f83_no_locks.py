"""F83: without locks a marker file keeps others out, told, however old. Not testable here: NFS, its late renames."""

import errno
import fcntl
import os
import signal

import pytest
from other_processes import start, wait_for

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage import folder_lock
from dd_nnunet.storage.atomic import write_json
from dd_nnunet.storage.folder_lock import locked, why_no_locks

HOLD_WITHOUT_LOCKS = """
import fcntl, pathlib, sys
from dd_nnunet.storage import folder_lock
from dd_nnunet.storage.atomic import write_json
from dd_nnunet.storage.folder_lock import locked
def flock(descriptor, operation):
    raise OSError(int(sys.argv[2]), "injected")
fcntl.flock = flock
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""
# filelock knows ENOSYS itself and makes the lock file the marker
CODES = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
pytestmark = pytest.mark.filterwarnings("ignore:flock not supported")


@pytest.fixture(params=CODES, ids=errno.errorcode.get)
def code(request, monkeypatch):
    def flock(descriptor, operation):
        raise OSError(request.param, "injected")

    monkeypatch.setattr(fcntl, "flock", flock)
    return request.param


@pytest.fixture
def holder(code, tmp_path):
    process = start(HOLD_WITHOUT_LOCKS, tmp_path / "folder", code)
    wait_for(process, "held")
    yield process
    process.kill()
    process.communicate()


def test_it_works_with_a_warning_and_leaves_no_marker(code, tmp_path, caplog):
    for _ in range(2):
        with locked(tmp_path):
            pass
    assert not (tmp_path / ".lock_marker").exists()
    if code != errno.ENOSYS:
        text = f"no locks on this file system ([Errno {code}] injected); a marker file stands in"
        assert caplog.messages == [f"warning: {tmp_path}: {text}"] * 2


def test_a_second_process_is_kept_out_and_told_how_to_get_in(holder, code, tmp_path):
    folder = tmp_path / "folder"
    with pytest.raises(UserError) as caught, locked(folder):
        pass
    assert caught.value.reason == f"is in use by process {holder.pid} on {os.uname().nodename}"
    marker = folder / (".lock" if code == errno.ENOSYS else ".lock_marker")
    assert caught.value.remedy == f"wait for it to end, or stop it; if it was killed, remove {marker}"
    marker.unlink()
    with locked(folder):
        pass


def test_the_marker_of_a_killed_process_on_this_machine_is_taken_over(holder, tmp_path, caplog):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(tmp_path / "folder"):
        text = f"process {holder.pid} on {os.uname().nodename} ended without freeing its lock; taken over"
        assert caplog.messages[-1] == f"warning: {tmp_path / 'folder'}: {text}"


@pytest.fixture
def of_another_machine(code, tmp_path):
    """The marker of a process that nobody has heard of since 2001."""
    marker = tmp_path / (".lock" if code == errno.ENOSYS else ".lock_marker")
    marker.write_text("4242\nelsewhere\n")
    os.utime(marker, (10**9, 10**9))
    write_json(tmp_path / ".lock_holder.json", {"host": "elsewhere", "pid": 4242})
    return marker


def test_the_marker_of_another_machine_is_kept_however_old(of_another_machine, tmp_path):
    """Two that write one fold are worse than a marker that a person removes."""
    before = of_another_machine.read_bytes()
    with pytest.raises(UserError) as caught, locked(tmp_path):
        pass
    assert caught.value.reason == "is in use by process 4242 on elsewhere"
    assert caught.value.remedy.endswith(f"if it was killed, remove {of_another_machine}")
    assert of_another_machine.read_bytes() == before


def test_who_waits_for_it_is_told_so_too_and_gets_in(of_another_machine, tmp_path, monkeypatch):
    said = []

    def warning(message, *values):
        said.append(message % values)
        # a person comes and does so
        if "waiting" in message:
            of_another_machine.unlink()

    monkeypatch.setattr(folder_lock._logger, "warning", warning)
    with locked(tmp_path, wait=True):
        pass
    in_use = f"{tmp_path} is in use by process 4242 on elsewhere; waiting for it to end"
    assert f"{in_use}; if it was killed, remove {of_another_machine}" in said


def test_other_errors_of_the_lock_are_not_swallowed(tmp_path, monkeypatch):
    def flock(descriptor, operation):
        raise OSError(errno.EIO, "injected")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="injected"), locked(tmp_path):
        pass


def test_locks_that_keep_nobody_out_are_noticed(tmp_path, monkeypatch):
    assert why_no_locks(tmp_path) is None
    monkeypatch.setattr(fcntl, "flock", lambda descriptor, operation: None)
    assert why_no_locks(tmp_path) == "two can hold one lock"
