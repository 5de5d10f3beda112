"""F83: without locks a marker file keeps others out, told. Not testable here: a real NFS, late renames on it."""

import errno
import fcntl
import os
import signal

import pytest
from other_processes import start, wait_for

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage.folder_lock import locked, why_no_locks

HOLD_WITHOUT_LOCKS = """
import fcntl, pathlib, sys
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
