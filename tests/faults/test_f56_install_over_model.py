"""F56: installing over a model is an error; --force keeps the old one aside; no failure harms it."""

import errno
import os

import pytest
from model_zips import export, install, sound_zip
from small_model import MODEL, contents_of, make_model

from dd_nnunet.storage.folder_lock import locked


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return sound_zip(tmp_path_factory.mktemp("sound"))


def test_without_force_it_is_an_error(sound, tmp_path, capsys):
    make_model(tmp_path, seed=1)
    before = contents_of(tmp_path)
    assert install(sound, tmp_path) == 2
    assert "a model is there already; --force keeps it as" in capsys.readouterr().err
    assert contents_of(tmp_path) == before


def test_force_keeps_the_old_one(sound, tmp_path):
    old = contents_of(make_model(tmp_path, seed=1))
    assert install(sound, tmp_path, "--force") == 0
    kept = [path for path in (tmp_path / MODEL).parent.iterdir() if ".bak_" in path.name]
    assert len(kept) == 1
    assert {name: c for name, c in contents_of(kept[0]).items() if name != ".lock"} == old
    export(tmp_path, tmp_path / "again.zip", "-f", "0")
    assert (tmp_path / "again.zip").read_bytes() == sound.read_bytes()


def test_force_without_a_model_there_is_fine(sound, tmp_path):
    assert install(sound, tmp_path, "--force") == 0
    assert [path.name for path in (tmp_path / MODEL).parent.iterdir()] == [MODEL.split("/")[1]]


def test_a_model_in_use_is_not_moved(sound, tmp_path, capsys):
    model = make_model(tmp_path, seed=1)
    with locked(model / "fold_0" / "level1"):
        before = contents_of(tmp_path)
        assert install(sound, tmp_path, "--force") == 2
        assert "is in use by process" in capsys.readouterr().err
        after = contents_of(tmp_path)
    assert {name: c for name, c in after.items() if not name.endswith(".lock")} == {
        name: c for name, c in before.items() if not name.endswith(".lock")
    }


def test_two_at_once(sound, tmp_path, capsys):
    staging = (tmp_path / MODEL).with_name(f".dd_tmp_{MODEL.split('/')[1]}")
    staging.mkdir(parents=True)
    with locked(staging):
        assert install(sound, tmp_path) == 2
    assert "is in use by process" in capsys.readouterr().err
    assert not (tmp_path / MODEL).exists()


def test_what_a_killed_one_left_is_removed(sound, tmp_path):
    staging = (tmp_path / MODEL).with_name(f".dd_tmp_{MODEL.split('/')[1]}")
    (staging / "work" / "unpacked").mkdir(parents=True)
    (staging / "work" / "unpacked" / "half").write_bytes(b"half")
    (staging / ".lock").touch()
    assert install(sound, tmp_path) == 0
    assert [path.name for path in staging.parent.iterdir()] == [MODEL.split("/")[1]]
    assert "half" not in "".join(contents_of(tmp_path))


@pytest.mark.parametrize("write", [1, 3, 5, 8, 12])
def test_a_full_disk_leaves_the_old_one(sound, tmp_path, monkeypatch, write, capsys):
    make_model(tmp_path, seed=1)
    before = contents_of(tmp_path)
    left = [write]
    real = os.fsync

    def full(descriptor):
        left[0] -= 1
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    assert install(sound, tmp_path, "--force") == 74
    assert "no space left" in capsys.readouterr().err
    # with the very first write failing an empty lock stays in the hidden folder, for the next start to remove
    after = {name: content for name, content in contents_of(tmp_path).items() if ".dd_tmp_" not in name}
    assert after == before
