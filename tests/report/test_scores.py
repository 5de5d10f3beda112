from dd_nnunet.core.plan import LevelPlan
from dd_nnunet.report.collect import Baseline, LevelResult
from dd_nnunet.report.scores import better_rivals, score_table


def summary(strict, hd95=None):
    return {
        "n_cases": 2,
        "label_map": {"background": 0, "cell": None},
        "protocols": {
            "hsu": {"dice": 0.9, "interval": [0.8, 0.95]},
            "strict": {
                "dice": strict,
                "interval": None,
                "foreground": strict - 0.1,
                "foreground_interval": None,
                "hd95_mm": hd95,
                "hd95_mm_interval": None,
                "per_class": {"background": 0.99, "cell": 0.0},
                "hd95_mm_per_class": {"cell": hd95},
            },
        },
    }


def level(content):
    return LevelResult(LevelPlan(1, 2, (1,)), None, {}, content, None)


def test_our_row_comes_first_with_rivals_below():
    rival = Baseline("kmeans", {1: {**summary(0.7, 9.0), "nesting": {"violation_rate": 0.25}}})
    other_level = Baseline("otsu", {2: summary(0.9)})
    table = score_table(level(summary(0.8, 4.0)), (rival, other_level))
    ours, theirs = table.rows
    assert (ours.method, theirs.method) == ("dd_nnunet", "kmeans")
    assert (ours.strict.value, ours.strict.interval) == (0.8, None)
    assert (ours.hsu.value, ours.hsu.interval) == (0.9, (0.8, 0.95))
    assert (ours.nesting.value, theirs.nesting.value) == (None, 0.25)
    assert [(c.name, c.part, c.dice, c.hd95_mm) for c in table.classes] == [
        ("background", 0, 0.99, None),
        ("cell", None, 0.0, 4.0),
    ]


def test_the_best_is_high_in_dice_and_low_in_distance():
    table = score_table(level(summary(0.8, 4.0)), (Baseline("kmeans", {1: summary(0.9, 9.0)}),))
    ours, theirs = table.rows
    assert not table.is_best("strict", ours) and table.is_best("strict", theirs)
    assert table.is_best("hd95_mm", ours) and not table.is_best("hd95_mm", theirs)
    assert table.is_best("hsu", ours) and table.is_best("hsu", theirs)  # a tie
    assert not table.is_best("nesting", ours)  # nobody has one
    alone = score_table(level(summary(0.8)), ())
    assert not alone.is_best("strict", alone.rows[0])


def test_a_better_rival_is_told():
    rivals = (Baseline("kmeans", {1: summary(0.7)}), Baseline("denoise-kmeans", {1: summary(0.9)}))
    (line,) = better_rivals(score_table(level(summary(0.8)), rivals))
    assert line == (
        "At level 1 the baseline denoise-kmeans scores higher than dd_nnunet "
        "(strict Dice 0.900 against 0.800)."
    )


def test_no_summary_no_table():
    assert score_table(level(None), ()) is None
