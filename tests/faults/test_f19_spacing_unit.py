"""F19: a spacing over 20 times off the dataset's median is suspected to be in another unit."""

from planned import make_faulty
from small_volumes import cells


def test_a_spacing_20_times_off_is_suspected_of_another_unit(tmp_path, capsys):
    dataset = make_faulty(tmp_path, cells(4), {"cell_2": (0.04, 1.0, 1.0)})
    assert dataset.run("--no_pp") == 0
    warning = "cell_2: spacing 0.04 mm along z against a median of 1 mm; check the unit (micrometres?)"
    assert f"warning: {warning}" in capsys.readouterr().out
    assert warning in dataset.json("dataset_fingerprint.json")["warnings"]


def test_a_spacing_10_times_off_is_not(tmp_path, capsys):
    dataset = make_faulty(tmp_path, cells(4), {"cell_2": (0.1, 1.0, 1.0)})
    assert dataset.run("--no_pp") == 0
    assert "warning" not in capsys.readouterr().out.replace("warning: 4 cases give", "")
