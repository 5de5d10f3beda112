"""F29: a wrong type in dataset.json is an error with its JSON path and an example."""

import json

import pytest
from fault_files import error_of

from dd_nnunet.storage.raw_dataset import load_description

SOUND = {"channel_names": {"0": "MRI"}, "numTraining": 1, "file_ending": ".nrrd"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"channel_names": ["MRI"]}, "$.channel_names is ['MRI']"),
        ({"channel_names": {"1": "MRI"}}, "$.channel_names has keys ['1']"),
        ({"channel_names": {"0": 5}}, "$.channel_names has a value that is no text"),
        ({"file_ending": "nrrd"}, "$.file_ending is 'nrrd'"),
        ({"file_ending": ".png"}, "$.file_ending is '.png'"),
        ({"labels": ["background"]}, "$.labels is not an object"),
        ({"labels": {"cell": "1"}}, "$.labels.cell is '1'"),
        ({"parts": {"level1": 1}}, "$.parts.level1 is 1"),
        ({"parts": {"level1": 2, "level2": 257}}, "$.parts.level2 is 257"),
    ],
)
def test_the_json_path_and_an_example_are_given(tmp_path, change, reason):
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({**SOUND, **change}), encoding="utf-8")
    error = error_of(load_description, path)
    assert (error.where, error.reason) == (str(path), reason)
    assert "expected" in error.remedy or "example" in error.remedy


def test_no_object(tmp_path):
    path = tmp_path / "dataset.json"
    path.write_text("[]", encoding="utf-8")
    assert error_of(load_description, path).reason == "$ is not an object"
