"""F30: a wrong numTraining is a warning that reaches the report; the cases are counted."""

from planned import make_faulty
from small_volumes import cells


def test_a_wrong_number_is_a_warning(tmp_path, capsys):
    dataset = make_faulty(tmp_path, cells(5), description={"numTraining": 7})
    assert dataset.run("--no_pp") == 0
    shown = capsys.readouterr().out
    assert f"warning: {dataset.raw / 'dataset.json'}: numTraining is 7, imagesTr holds 5" in shown


def test_a_missing_number_is_nothing(tmp_path, capsys):
    dataset = make_faulty(tmp_path, cells(5), description={"numTraining": None})
    assert dataset.run("--no_pp") == 0
    assert "warning" not in capsys.readouterr().out


def test_a_number_that_is_none_is_a_warning_too_and_reaches_the_report(tmp_path, capsys):
    dataset = make_faulty(tmp_path, cells(5), description={"numTraining": "five"})
    assert dataset.run("--no_pp") == 0
    warning = f"{dataset.raw / 'dataset.json'}: numTraining is 'five', imagesTr holds 5"
    assert f"warning: {warning}" in capsys.readouterr().out
    assert warning in dataset.json("dataset_fingerprint.json")["warnings"]
