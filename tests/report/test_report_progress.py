from fake_logs import level_log

from dd_nnunet.core.plan import LevelPlan
from dd_nnunet.report.collect import LevelResult
from dd_nnunet.report.progress import ALIVE, duration_text, kept_entry, lost_parts, seconds_of, state_of
from dd_nnunet.report.run_record import RunRecord
from dd_nnunet.training.selection import ALIVE_SHARE

PLAN_AGAIN = "dd_plan_and_preprocess -d 7 --parts …"


def record(log, finished=None):
    return RunRecord(tuple(log), {}, finished)


def level(run):
    return LevelResult(LevelPlan(2, 4, (1,)), run, {}, None, None)


def test_the_kept_epoch_is_the_last_selected_or_the_last_one():
    run = record(level_log(n_epochs=20, warm_epochs=4))
    assert kept_entry(run)["epoch"] == 16
    unmarked = record([{**entry, "selected": False} for entry in run.log])
    assert kept_entry(unmarked)["epoch"] == 19


def test_durations_for_people():
    assert seconds_of(record([{"seconds": 1.5}, {"seconds": 2.0}, {}])) == 3.5
    assert [duration_text(s) for s in (47.6, 725, 12000)] == ["48 s", "12 min 5 s", "3 h 20 min"]


def test_a_dead_part_is_told_loudly():
    (line,) = lost_parts(level(record(level_log(dies=True))), PLAN_AGAIN)
    assert line.startswith("Level 2 has collapsed: only 3 of 4 planned parts are alive (win at least 2 in")
    assert " at epoch 16, which was kept. " in line
    assert line.endswith("(dd_plan_and_preprocess -d 7 --parts …), or train longer.")
    assert not list(lost_parts(level(record(level_log())), PLAN_AGAIN))
    (marked,) = lost_parts(level(record(level_log(), {"collapsed": True})), PLAN_AGAIN)
    assert "marked as collapsed by training" in marked
    assert not list(lost_parts(level(None), PLAN_AGAIN))


def test_alive_means_what_training_counts():
    assert ALIVE.startswith(f"win at least {1e4 * ALIVE_SHARE:g} in 10 000 voxels of ")


def test_states():
    assert state_of(None) == "not trained"
    assert state_of(record(level_log())) == "running or stopped"
    assert state_of(record(level_log(), {})) == "finished"
