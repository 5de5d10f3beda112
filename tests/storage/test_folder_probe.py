import errno
import os
import shutil

from dd_nnunet.storage.folder_probe import FolderFacts, probe_folder, why_not_readable


def test_a_good_folder_stays_as_it_was(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    facts = probe_folder(tmp_path)
    assert (facts.exists, facts.trouble, facts.lock_trouble) == (True, None, None)
    assert abs(facts.free_bytes - free) < 1e9
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_tried_above_and_not_made(tmp_path):
    facts = probe_folder(tmp_path / "a" / "b")
    assert (facts.exists, facts.trouble) == (False, None)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        assert "Not a directory" in str(probe_folder(path).trouble)
    assert why_not_readable(tmp_path / "file") == "Not a directory"
    assert why_not_readable(tmp_path / "none") == "No such file or directory"
    assert why_not_readable(tmp_path) is None


def test_a_read_only_disk_is_told(tmp_path, monkeypatch):
    def fail(*arguments, **keywords):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "mkdir", fail)
    assert probe_folder(tmp_path) == FolderFacts(True, "[Errno 30] Read-only file system")


def test_a_rename_that_shows_late_is_told(tmp_path, monkeypatch):
    from dd_nnunet.storage import folder_probe

    monkeypatch.setattr(folder_probe, "read_json", lambda path: "old")
    assert probe_folder(tmp_path).trouble == "a file that was replaced still shows its old contents"
