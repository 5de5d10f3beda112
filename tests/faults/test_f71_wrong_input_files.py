"""F71: images of other channels or of another file ending than the model's are refused before it is loaded."""

import pytest
from predicting import make_toy, noise

from dd_nnunet.prediction.model_folder import ModelFolder


@pytest.fixture
def toy(tmp_path, monkeypatch):
    def segmenter(*_):
        pytest.fail("the model was loaded")

    monkeypatch.setattr(ModelFolder, "segmenter", segmenter)
    toy = make_toy(tmp_path)
    toy.add_image("a", noise())
    return toy


def check_refused(toy, capsys, *expected):
    assert toy.predict() == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(expected)
    for line, text in zip(lines, expected, strict=True):
        assert text in line
    assert not toy.out.exists()


def test_a_channel_too_many(toy, capsys):
    toy.add_image("a", noise(), channel=1)
    check_refused(toy, capsys, "a_0001.nii.gz: is channel 1, but dataset.json names 1 channel")


def test_a_missing_channel_is_named_with_all_others(toy, capsys):
    toy.add_image("b", noise(), channel=1)
    toy.add_image("c", noise(), channel=1)
    check_refused(toy, capsys, "b_0001.nii.gz: is channel 1", "c_0001.nii.gz: is channel 1")


def test_another_file_ending(toy, capsys):
    toy.add_image("b", noise(), ending=".nrrd")
    check_refused(toy, capsys, "b_0000.nrrd: has not the file_ending of dataset.json, .nii.gz")


def test_no_images(toy, capsys):
    (toy.images / "a_0000.nii.gz").unlink()
    check_refused(toy, capsys, "holds no case; expected files like CASE_0000.nii.gz")


def test_a_case_that_lacks_a_channel_the_model_wants(toy, capsys):
    from dd_nnunet.storage.atomic import write_json

    described = {"channel_names": {"0": "light", "1": "dark"}, "numTraining": 5, "file_ending": ".nii.gz"}
    write_json(toy.model / "dataset.json", described)
    check_refused(toy, capsys, "a_0001.nii.gz: is missing: case a lacks channel 1 (dark)")


def test_a_folder_that_is_no_model(toy, capsys):
    (toy.model / "plans.json").unlink()
    remedy = "give the folder ddTrainer__… that holds plans.json and fold_0 with -m"
    check_refused(toy, capsys, f"holds no trained model (no plans.json); {remedy}")
