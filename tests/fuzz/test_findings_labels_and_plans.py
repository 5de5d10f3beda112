"""What fuzzing has found in label maps and plans, each as its smallest input; what was wrong stands beside it."""

import numpy as np
import pytest
from damaged_label_maps import label_file
from damaged_records import json_of
from properties import bounded_memory
from refusals import refused
from small_plan import DESCRIPTION, make_plan

from dd_nnunet.core.dataset import describe_dataset
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.plan import Plan
from dd_nnunet.evaluation.folder import evaluate_folder
from dd_nnunet.storage.atomic import read_record
from dd_nnunet.storage.volume import read_label_map


@pytest.mark.parametrize("value", [1e20, np.inf, -np.inf, np.nan, 2.0**31, 0.5])
def test_labels_that_are_no_labels(tmp_path, value):
    """What is too large for 32 bits wrapped around, infinity too."""
    array = np.full((2, 3, 4), value, "<f8")
    path = tmp_path / "a.nrrd"
    path.write_bytes(label_file(".nrrd", "double", array, "1 1 1"))
    assert refused(read_label_map, path) == "holds numbers that are not whole, or too large"


def test_a_part_with_a_huge_number(tmp_path):
    """A table of as many rows was made for it."""
    for name, value in (("truth", 1), ("out", 2**31 - 1)):
        (tmp_path / name).mkdir()
        data = label_file(".nrrd", "int", np.full((2, 3, 4), value, "<i4"), "1 1 1")
        (tmp_path / name / "a.nrrd").write_bytes(data)
    description = describe_dataset({**DESCRIPTION, "file_ending": ".nrrd"}, "dataset.json")
    with bounded_memory(300 << 20), pytest.raises(UserError, match=r"part number 2147483647; .*0 to 65535"):
        evaluate_folder(tmp_path / "out", tmp_path / "truth", description, 1)


@pytest.mark.parametrize(
    ("old", "new"),
    [('"strides_zyx": [\n          [\n            2', '"strides_zyx": [\n          [\n            0'),
     ('"patch_size_zyx": [\n        12', '"patch_size_zyx": [\n        -12')],
)  # fmt: skip
def test_a_plan_with_lengths_below_1(tmp_path, old, new):
    """A stride of 0 was divided by."""
    text = json_of(make_plan())
    assert old in text
    path = tmp_path / "ddPlans.json"
    path.write_text(text.replace(old, new))
    assert "at least 1" in refused(lambda file: read_record(Plan, file), path)


@pytest.mark.parametrize(
    "content", ["9" * 5000, "9" * 400, "1e999", '"\\ud800"', f'"{"x" * 5000}"', '"\\u001b"']
)
def test_json_values_that_broke_the_error(tmp_path, content):
    """Tracebacks, lines of thousands of characters, codes that steer a terminal."""
    text = json_of(make_plan()).replace('"learning_rate": 0.0001', f'"learning_rate": {content}', 1)
    path = tmp_path / "ddPlans.json"
    path.write_text(text)
    refused(lambda file: read_record(Plan, file), path)
