from planned import cells, make_faulty


def test_a_wrong_number_is_a_warning(tmp_path, capsys):
    dataset = make_faulty(tmp_path, cells(5), description={"numTraining": 7})
    assert dataset.run("--no_pp") == 0
    shown = capsys.readouterr().out
    assert f"warning: {dataset.raw / 'dataset.json'}: numTraining is 7, imagesTr holds 5" in shown


def test_a_missing_number_is_nothing(tmp_path, capsys):
    dataset = make_faulty(tmp_path, cells(5), description={"numTraining": None})
    assert dataset.run("--no_pp") == 0
    assert "warning" not in capsys.readouterr().out
