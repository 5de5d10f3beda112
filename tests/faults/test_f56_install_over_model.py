"""F56: installing over a model is an error; --force keeps the old one aside; no failure and no kill harms it."""

import errno
import itertools
import os
import signal

import pytest
import torch
from killing import forked
from model_zips import export, install, sound_zip
from small_model import MODEL, contents_of, make_model

from dd_nnunet.storage import atomic
from dd_nnunet.storage.folder_lock import locked


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return sound_zip(tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def new(sound, tmp_path_factory):
    results = tmp_path_factory.mktemp("new")
    assert install(sound, results) == 0
    return files_of(results / MODEL)


def files_of(model):
    """What makes the model: its files, without the hidden ones of locks."""
    found = contents_of(model).items()
    return {name: c for name, c in found if c is not None and not name.rpartition("/")[2].startswith(".")}


def models_below(results):
    """The models that can be seen there, by the names of their folders."""
    folder = (results / MODEL).parent
    seen = [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.exists() else []
    return {path.name: files_of(path) for path in seen}


def installed_and_killed(path, results, flags, **kill):
    def body():
        # the threads of OpenMP do not live on in a forked process
        torch.set_num_threads(1)
        return install(path, results, *flags)

    return forked(body, **kill)[0]


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


EVERY = pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.slow)])


@EVERY
def test_killed_at_every_write_point_over_a_model(sound, new, tmp_path, every):
    name = MODEL.split("/")[1]
    states = []
    for point in itertools.count(every, every):
        results = tmp_path / str(point)
        old = files_of(make_model(results, seed=1))
        code = installed_and_killed(sound, results, ["--force"], kill_at=point)
        found = models_below(results)
        assert old in found.values()
        assert found.get(name) in (old, None, new)
        states.append("old" if found.get(name) == old else "new" if name in found else "aside")
        if code == 0:
            break
        assert code == -signal.SIGKILL
        assert install(sound, results, "--force") == 0
        found = models_below(results)
        assert found.pop(name) == new and old in found.values()
        assert not list((results / MODEL).parent.glob(".dd_tmp_*"))
    # the old one moved aside, then the new one in its place, each in one step
    steps = [state for state, _ in itertools.groupby(states)]
    assert steps == ["old", "aside", "new"] if every == 1 else len(states) > 5


def test_killed_between_the_old_model_and_the_new_one(sound, new, tmp_path, monkeypatch):
    old = files_of(make_model(tmp_path, seed=1))
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "place_folder", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        assert installed_and_killed(sound, tmp_path, ["--force"]) == -signal.SIGKILL
    (aside,) = models_below(tmp_path)
    assert ".bak_" in aside
    assert install(sound, tmp_path, "--force") == 0
    assert models_below(tmp_path) == {aside: old, MODEL.split("/")[1]: new}


@EVERY
def test_killed_at_every_write_point_where_there_was_none(sound, new, tmp_path, every):
    name = MODEL.split("/")[1]
    states = []
    for point in itertools.count(every, every):
        results = tmp_path / str(point)
        code = installed_and_killed(sound, results, [], kill_at=point)
        states.append(models_below(results))
        assert states[-1] in ({}, {name: new})
        if code == 0:
            break
        assert code == -signal.SIGKILL
        # killed behind the last step: what the command says is true, the model is there
        assert install(sound, results) == (2 if states[-1] else 0)
        assert models_below(results) == {name: new}
        assert not list((results / MODEL).parent.glob(".dd_tmp_*"))
    assert {} in states and {name: new} in states and len(states) > 3


@pytest.mark.parametrize("n_bytes", [0, 1000, 5000])
def test_killed_while_a_file_is_written(sound, new, tmp_path, n_bytes):
    old = files_of(make_model(tmp_path, seed=1))
    code = installed_and_killed(sound, tmp_path, ["--force"], largest_file=n_bytes)
    assert code == -signal.SIGXFSZ
    assert models_below(tmp_path) == {MODEL.split("/")[1]: old}
    assert install(sound, tmp_path, "--force") == 0
    assert models_below(tmp_path)[MODEL.split("/")[1]] == new
