"""F72: of several cases to predict one bad one is recorded with its reason, the others are done; exit code 3."""

import pytest
from predicting import make_toy, noise

from dd_nnunet.core.errors import DiskError
from dd_nnunet.prediction import predict_folder


@pytest.fixture
def toy(tmp_path):
    toy = make_toy(tmp_path)
    for number, case_id in enumerate("abc"):
        toy.add_image(case_id, noise(number))
    return toy


def test_a_damaged_file_does_not_stop_the_others(toy, capsys):
    path = toy.images / "b_0000.nii.gz"
    path.write_bytes(path.read_bytes()[:-100])
    assert toy.predict() == 3
    assert toy.states == {"a": "done", "b": "failed", "c": "done"}
    assert "b_0000.nii.gz: is cut off" in toy.record["cases"]["b"]["reason"]
    assert capsys.readouterr().err == (
        f"dd_predict_from_modelfolder: error: {toy.images}: 1 of 3 cases failed: b; "
        "the errors above say why; the others are done\n"
    )
    assert sorted(path.name for path in (toy.out / "level2").iterdir()) == ["a.nii.gz", "c.nii.gz"]


def test_nor_does_a_file_that_may_not_be_read_or_want_of_memory(toy, monkeypatch):
    def read_volume(files, reading):
        if files[0].name.startswith("a"):
            raise MemoryError
        return real_read(files, reading)

    def sha256_of(path):
        if path.name.startswith("b_"):
            raise PermissionError(13, "Permission denied", str(path))
        return real_sha256(path)

    real_read, real_sha256 = predict_folder.read_volume, predict_folder.sha256_of
    monkeypatch.setattr(predict_folder, "read_volume", read_volume)
    monkeypatch.setattr(predict_folder, "sha256_of", sha256_of)
    assert toy.predict() == 3
    assert toy.states == {"a": "failed", "b": "failed", "c": "done"}
    assert "not enough memory" in toy.record["cases"]["a"]["reason"]
    assert "cannot be read (Permission denied)" in toy.record["cases"]["b"]["reason"]


def test_nor_does_an_image_that_was_done_and_may_no_longer_be_read(toy, monkeypatch):
    assert toy.predict() == 0

    def sha256_of(path):
        if path.name.startswith("b_"):
            raise PermissionError(13, "Permission denied", str(path))
        return real_sha256(path)

    real_sha256 = predict_folder.sha256_of
    monkeypatch.setattr(predict_folder, "sha256_of", sha256_of)
    assert toy.predict("--continue_prediction") == 3
    assert toy.states == {"a": "done", "b": "failed", "c": "done"}


def test_a_mended_case_is_all_that_is_done_again(toy):
    path = toy.images / "b_0000.nii.gz"
    whole = path.read_bytes()
    path.write_bytes(b"no volume")
    assert toy.predict() == 3
    before = (toy.out / "level1" / "a.nii.gz").stat().st_mtime_ns
    path.write_bytes(whole)
    assert toy.predict("--continue_prediction") == 0
    assert toy.states == {"a": "done", "b": "done", "c": "done"}
    assert (toy.out / "level1" / "a.nii.gz").stat().st_mtime_ns == before


def test_a_full_disk_is_no_bad_case(toy, monkeypatch):
    def write_labels(path, labels, geometry):
        if path.name.startswith("b"):
            raise DiskError(path, "no space left on the disk", "free some and run the same command again")
        real(path, labels, geometry)

    from dd_nnunet.prediction import predict_case

    real = predict_case.write_labels
    monkeypatch.setattr(predict_case, "write_labels", write_labels)
    assert toy.predict() == 74
    assert toy.states == {"a": "done"}
