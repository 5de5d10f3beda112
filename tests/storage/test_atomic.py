import errno
import hashlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from dd_nnunet.core.errors import DiskError, UserError
from dd_nnunet.storage.atomic import (
    TEMPORARY_PREFIX,
    atomic_path,
    check_output_folder,
    read_json,
    read_record,
    remove_leftovers,
    sha256_of,
    write_bytes,
    write_json,
    write_text,
)


@dataclass(frozen=True)
class Point:
    x: int
    y: float


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_round_trips(tmp_path):
    write_text(tmp_path / "a.txt", "ä\r\n患")
    assert (tmp_path / "a.txt").read_bytes() == "ä\r\n患".encode()
    write_json(tmp_path / "deep" / "b.json", {"ü": [1, 2.5, None]})
    assert read_json(tmp_path / "deep" / "b.json") == {"ü": [1, 2.5, None]}
    write_json(tmp_path / "c.json", Point(1, 2.5))
    assert read_record(Point, tmp_path / "c.json") == Point(1, 2.5)
    assert names(tmp_path) == ["a.txt", "c.json", "deep"]


def test_what_is_no_number_becomes_null(tmp_path):
    write_json(tmp_path / "a.json", {"nan": float("nan"), "inf": float("inf")})
    assert read_json(tmp_path / "a.json") == {"nan": None, "inf": None}


def test_the_temporary_file_lies_beside_and_keeps_the_ending(tmp_path):
    with atomic_path(tmp_path / "case.one.nii.gz") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(TEMPORARY_PREFIX)
        assert temporary.name.endswith(".nii.gz")
        temporary.write_bytes(b"new")
    assert names(tmp_path) == ["case.one.nii.gz"]


def test_an_error_keeps_the_old_file_and_leaves_nothing(tmp_path):
    write_bytes(tmp_path / "a.bin", b"old")
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "a.bin") as temporary:
        temporary.write_bytes(b"half")
        raise ZeroDivisionError
    assert names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"old"


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch, function, code):
    write_bytes(tmp_path / "a.bin", b"old")

    def fail(*arguments, **keywords):
        raise OSError(code, "injected")

    monkeypatch.setattr(os, function, fail)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=2))
    with pytest.raises(DiskError, match=r"no space left on the disk \(3 bytes needed, 2 free\)") as caught:
        write_bytes(tmp_path / "a.bin", b"new")
    assert caught.value.exit_code == 74
    assert caught.value.where == str(tmp_path / "a.bin")
    monkeypatch.undo()
    assert names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"old"


def test_a_forbidden_folder_is_the_users_error(tmp_path, monkeypatch):
    def fail(*arguments, **keywords):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match="may not be written") as caught:
        write_bytes(tmp_path / "a.bin", b"new")
    assert caught.value.where == str(tmp_path / "a.bin")


def test_leftovers_are_removed(tmp_path):
    write_json(tmp_path / "a.json", {})
    (tmp_path / f"{TEMPORARY_PREFIX}1.json").write_bytes(b"half")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["a.json"]


def test_an_output_folder_is_made_and_cleared_of_old_leftovers(tmp_path):
    folder = tmp_path / "deep" / "out"
    check_output_folder(folder)
    assert names(folder) == []
    for name in (f"{TEMPORARY_PREFIX}old.nii.gz", f"{TEMPORARY_PREFIX}new.nii.gz", "result.nii.gz"):
        (folder / name).write_bytes(b"half")
        if "new" not in name:
            os.utime(folder / name, (0, time.time() - 25 * 3600))
    check_output_folder(folder)
    assert names(folder) == [f"{TEMPORARY_PREFIX}new.nii.gz", "result.nii.gz"]


def test_every_prefix_of_json_is_refused(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, Point(1, 2.5))
    whole = path.read_bytes()
    for length in range(len(whole) - 1):
        if whole[:length].strip().endswith(b"}"):
            continue
        path.write_bytes(whole[:length])
        with pytest.raises(UserError):
            read_record(Point, path)


def test_missing_and_wrong_text(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_json(tmp_path / "none.json")
    (tmp_path / "a.json").write_bytes(b'{"x": "\xff"}')
    with pytest.raises(UserError, match=r"is not UTF-8 text \(byte 7\)"):
        read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match="cannot be read"):
        read_json(tmp_path)


def test_sha256_over_several_pieces(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "a.bin").write_bytes(content)
    assert sha256_of(tmp_path / "a.bin") == hashlib.sha256(content).hexdigest()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux")
def test_a_folder_that_cannot_be_made():
    with pytest.raises(UserError, match=r"/proc/dd: cannot be made \(No such file or directory\)"):
        check_output_folder(Path("/proc/dd"))
