"""F08: a constant volume is left out of training with a warning; only constant volumes are an error."""

import numpy as np
from planned import make_faulty
from small_volumes import cell

CONSTANT = np.full((16, 16, 16), 42.0, np.float32)


def test_a_constant_image_is_left_out_with_a_warning(tmp_path, capsys):
    dataset = make_faulty(tmp_path, {"a": cell(0), "b": CONSTANT, "c": cell(1)})
    assert dataset.run() == 0
    assert "warning: b: constant volume, left out of training" in capsys.readouterr().out
    assert dataset.prepared_cases == ["a", "c"]
    assert [fold["val"] for fold in dataset.json("splits_final.json")] in ([["a"], ["c"]], [["c"], ["a"]])
    fingerprint = dataset.json("dataset_fingerprint.json")
    assert [case["constant"] for case in fingerprint["cases"]] == [False, True, False]
    # from here it goes into the report
    assert "b: constant volume, left out of training" in fingerprint["warnings"]


def test_only_constant_images_are_an_error(tmp_path, capsys):
    dataset = make_faulty(tmp_path, {"a": CONSTANT, "b": CONSTANT + 1})
    assert dataset.run() == 2
    error = capsys.readouterr().err
    assert error == (
        "dd_plan_and_preprocess: error: Dataset005_Faults: all volumes are constant; "
        "put volumes with contents into imagesTr\n"
    )
    assert dataset.written == []


def test_a_constant_channel_among_others_is_a_warning(tmp_path, capsys):
    described = {"channel_names": {"0": "light", "1": "dark"}, "numTraining": 2}
    volumes = {"a_0000": cell(0), "a_0001": cell(1), "b_0000": cell(2), "b_0001": CONSTANT}
    dataset = make_faulty(tmp_path, volumes, description=described)
    for path in (dataset.raw / "imagesTr").iterdir():
        path.rename(path.with_name(path.name.replace("_0000.nii.gz", ".nii.gz", 1)))
    assert dataset.run() == 0
    warning = "b: channel 1 is constant between its percentiles; it becomes all zero"
    assert f"warning: {warning}" in capsys.readouterr().out
    assert warning in dataset.json("dataset_fingerprint.json")["warnings"]
    assert dataset.prepared_cases == ["a", "b"]
