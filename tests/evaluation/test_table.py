from dd_nnunet.evaluation.table import ScoreRow, score_table

ROWS = [
    ScoreRow("dd_nnunet", 2, 0.6104, 0.55, 0.44, 3.21),
    ScoreRow("dd_nnunet", 1, 0.98, 0.97, 0.96, 1.0),
    ScoreRow("kmeans", 2, 0.3, 0.2, 0.1, None),
    ScoreRow("kmeans", 1, 0.8, 0.97, 0.7, 0.5),
]


def test_text_table():
    expected = """\
method                              level       hsu     strict  foreground   HD95 mm
--------------------------------------------------------------------------------
dd_nnunet                               1      0.980*     0.970*     0.960*       1.0
kmeans                                  1      0.800      0.970*     0.700        0.5*

dd_nnunet                               2      0.610*     0.550*     0.440*       3.2
kmeans                                  2      0.300      0.200      0.100        –
"""
    table = score_table(ROWS)
    assert [line.split() for line in table.splitlines()] == [line.split() for line in expected.splitlines()]
    assert max(map(len, table.splitlines())) == 80


def test_markdown_table():
    assert score_table(ROWS[1:4:2], "markdown") == (
        "| method | level | hsu | strict | foreground | HD95 mm |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |\n"
        "| dd_nnunet | 1 | **0.980** | **0.970** | **0.960** | 1.0 |\n"
        "| kmeans | 1 | 0.800 | **0.970** | 0.700 | **0.5** |\n"
    )


def test_distances_of_nanometres_are_not_zero():
    rows = [ScoreRow("a", 1, 0.9, 0.9, 0.00004, 1.6e-05), ScoreRow("b", 1, 0.9, 0.9, 0.0, 0.0)]
    lines = score_table(rows).splitlines()
    assert lines[2].split()[-2:] == ["4e-05*", "1.6e-05"] and lines[3].split()[-2:] == ["0.000", "0.0*"]
    assert max(map(len, lines)) == 80


def test_a_single_method_is_not_called_best():
    assert "*" not in score_table(ROWS[:2])


def test_folds_of_one_method_are_no_rivals():
    folds = [ScoreRow("kmeans", 1, score, score, score, score, fold=str(score)) for score in (0.2, 0.4)]
    table = score_table(folds)
    assert "*" not in table
    assert [line[:16] for line in table.splitlines()[2:]] == ["kmeans, fold 0.2", "kmeans, fold 0.4"]
    assert score_table([*folds, ScoreRow("other", 1, 0.3, None, 0.3, 0.1)]).count("0.400*") == 2


def test_one_protocol_only():
    table = score_table(ROWS, protocols=["hsu"])
    assert "strict" not in table and "HD95" not in table and "0.610*" in table


def test_a_long_name_is_cut():
    lines = score_table([ScoreRow("m" * 200, 1, 1.0, 1.0, 1.0, 1.0)]).splitlines()
    assert max(map(len, lines)) <= 80
    assert "m…" in lines[2]
