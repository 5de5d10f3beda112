"""How long measuring and planning take: the recorded numbers are of what is measured today."""

import json
from types import SimpleNamespace

import planning_time
import pytest
from measuring import RESULTS
from small_dataset import make_dataset

from dd_nnunet.commands import plan_and_preprocess
from dd_nnunet.planning.fingerprinting import MEASUREMENT_VERSION


def test_the_recorded_times_are_of_what_is_measured_today():
    recorded = json.loads((RESULTS / "planning_time.json").read_text(encoding="utf-8"))
    hint = "measure them anew: " + recorded["command"]
    assert recorded["measurement_version"] == MEASUREMENT_VERSION, hint
    for steps in recorded["datasets"].values():
        assert steps["the planner alone"]["milliseconds"] < 100
        assert max(step["peak_gb"] for step in steps.values() if "peak_gb" in step) < recorded["max_ram_gb"]


def test_the_planner_alone_is_timed(tmp_path):
    dataset = make_dataset(tmp_path)
    assert plan_and_preprocess.main_fingerprint(["-d", "7", "-np", "0", *dataset.flags]) == 0
    assert 0 < planning_time.planner_milliseconds(dataset.folders) < 1000


@pytest.mark.slow
def test_every_step_is_a_command_of_its_own(tmp_path):
    planning_time.make_huge(tmp_path / "raw" / planning_time.HUGE, 32)
    rows = planning_time.measure("998", tmp_path / "raw", tmp_path, SimpleNamespace(np=0, max_ram=6.0))
    assert set(rows) == {*planning_time.STEPS, "the planner alone"}
    assert all(rows[step]["seconds"] > 0 and rows[step]["peak_gb"] > 0 for step in planning_time.STEPS)
