import gallery_rivals
import pytest
from gallery_page import PAGE
from gallery_rivals import NOT_EXAMINED, ahead, baselines_that_win
from gallery_row import score


def row(**scores):
    """Dice and HD95 of each method at level 1."""
    return {
        "run": {},
        "scores": {name.replace("_", "-"): {"level1": score(*s)} for name, s in scores.items()},
    }


def of(ours, **rivals):
    scored = row(**rivals)
    scored["scores"] = {"dd_nnunet": {"level1": score(*ours)}} | scored["scores"]
    return scored


def test_nothing_is_ahead():
    assert baselines_that_win("not-there", of((0.8, 2.0), kmeans=(0.7, 2.0), otsu=(0.8, 3.0))) == (
        "No baseline is ahead in `strict` Dice."
    )


def test_a_baseline_with_a_higher_dice_wins_whatever_its_distance():
    expected = (
        f"A baseline wins. At level 1 kmeans 0.900, otsu 0.850 against 0.800 (`strict`). {NOT_EXAMINED}"
    )
    assert baselines_that_win("not-there", of((0.8, 2.0), kmeans=(0.9, 1.0), otsu=(0.85, 3.0))) == expected


def test_a_lower_hd95_without_a_higher_dice_is_told_and_the_mark_stays_with_dice():
    scored = of((0.8, 2.0), kmeans=(0.8, 1.5), otsu=(0.7, 1.25), objects=(0.6, 2.0))
    assert baselines_that_win("not-there", scored) == (
        "No baseline is ahead in `strict` Dice. At level 1 kmeans (1.50 mm), otsu (1.25 mm) are ahead in HD95, "
        f"though not in Dice (2.00 mm). {NOT_EXAMINED}"
    )
    assert ahead(scored) == "1: dd_nnunet = kmeans"


def test_a_level_that_nobody_finds_has_no_winner():
    scored = of((0.5, 2.0), kmeans=(0.4, 2.0))
    for method in scored["scores"].values():
        method["level1"]["protocols"]["strict"]["foreground"] = 0.09
    assert ahead(scored) == "1: none found it"
    assert baselines_that_win("not-there", scored) == (
        "No method finds the classes of level 1 (without background, all are below 0.1): the order of the rows means "
        "nothing there."
    )
    scored["scores"]["kmeans"]["level1"]["protocols"]["strict"]["foreground"] = 0.1
    assert ahead(scored) == "1: dd_nnunet"


def test_the_page_says_why_wherever_a_baseline_wins():
    assert NOT_EXAMINED not in PAGE.read_text(encoding="utf-8")


def test_all_that_are_ahead_are_named():
    assert ahead(of((0.8, 2.0), kmeans=(0.7, 2.0), otsu=(0.8 + 1e-5, 9.0))) == "1: otsu"
    assert ahead(of((0.8, 2.0), kmeans=(0.7, 2.0), otsu=(0.8 + 1e-9, 9.0))) == "1: dd_nnunet = otsu"
    assert baselines_that_win("not-there", of((0.8, 2.0), otsu=(0.8 + 1e-9, 2.0))).startswith(
        "No baseline is ahead"
    )


def test_one_baseline_is_ahead_in_dice_and_another_in_hd95():
    assert baselines_that_win("not-there", of((0.8, 2.0), kmeans=(0.9, 1.0), otsu=(0.7, 1.5))) == (
        "A baseline wins. At level 1 kmeans 0.900 against 0.800 (`strict`). At level 1 otsu (1.50 mm) is ahead in "
        f"HD95, though not in Dice (2.00 mm). {NOT_EXAMINED}"
    )


@pytest.mark.parametrize(("ours", "theirs"), [(None, 1.0), (2.0, None)])
def test_a_distance_that_was_not_measured_is_no_win(ours, theirs):
    text = baselines_that_win("not-there", of((0.8, ours), kmeans=(0.7, theirs)))
    assert text == "No baseline is ahead in `strict` Dice."


def test_the_remark_is_that_of_the_data_set(monkeypatch):
    monkeypatch.setattr(gallery_rivals, "REMARKS", {"not-there": "The granules are simply dark."})
    scored = of((0.8, 2.0), kmeans=(0.9, 2.0))
    assert baselines_that_win("not-there", scored).endswith("(`strict`). The granules are simply dark.")
    assert baselines_that_win("ct", scored).endswith(NOT_EXAMINED)
