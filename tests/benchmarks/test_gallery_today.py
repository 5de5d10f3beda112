"""What the gallery shows against the goldens: rows may be older, and then the page says so."""

import gallery_page
import gallery_today
import pytest
from gallery_data import EXHIBITS
from gallery_row import trained_row
from gallery_rows import measured_values, parts_if_not_given, planned_values
from gallery_today import OF_THE_MACHINE, golden_measured, golden_plan, today
from made_fingerprint import make_fingerprint

from dd_nnunet.core.dataset import describe_dataset
from dd_nnunet.core.fingerprint import DatasetFingerprint
from dd_nnunet.core.json_record import record_from_json, record_to_json
from dd_nnunet.planning.plan_dataset import plan_dataset
from dd_nnunet.planning.presets import Budget
from dd_nnunet.storage.atomic import read_json, write_json

DECISION = {"name": "timesteps", "value": "84 126", "because": "", "configuration": "3d_fullres"}
PRECISION = {"name": "precision", "value": "float32", "because": "", "configuration": ""}
LEFT_RIGHT = {"name": "left and right", "value": "along x", "because": "", "configuration": ""}
MADE = make_fingerprint([(48, 48, 48)] * 3, [(1.0, 1.0, 1.0)] * 3, (20.0, 5.0))
PARTS = {"channel_names": {"0": "EM"}, "file_ending": ".nii.gz", "parts": {"level1": 2, "level2": 5}}


def write_plan(folder, *decisions):
    write_json(golden_plan("em", folder), {"decisions": list(decisions)})


def write_measured(folder, dataset=PARTS):
    write_json(golden_measured("em", folder), {"dataset": dataset, "fingerprint": record_to_json(MADE)})


def test_a_plan_that_would_be_another_today_is_told(tmp_path):
    row = trained_row()
    row["plan"]["decisions"].append(PRECISION | {"value": "bfloat16"})
    assert today("em", row, tmp_path) == []
    write_plan(tmp_path, DECISION, PRECISION)
    assert today("em", row, tmp_path) == []
    write_plan(tmp_path, DECISION | {"value": "50 75"}, PRECISION)
    assert today("em", row, tmp_path) == ["**Planned today**: timesteps: 50 75 (was 84 126).", ""]


def test_decisions_that_came_and_went_are_told(tmp_path):
    row = trained_row()
    write_plan(tmp_path, LEFT_RIGHT)
    told = "timesteps: no more (was 84 126); left and right: along x (new)"
    assert today("em", row, tmp_path) == [f"**Planned today**: {told}.", ""]


def test_of_several_configurations_the_one_meant_is_named(tmp_path):
    row = trained_row()
    low = DECISION | {"configuration": "3d_lowres", "value": "40 60"}
    write_plan(tmp_path, DECISION, low)
    assert today("em", row, tmp_path) == ["**Planned today**: timesteps of 3d_lowres: 40 60 (new).", ""]


def test_values_that_would_be_measured_otherwise_today_are_told(tmp_path):
    row = trained_row() | {"fingerprint_schema": 5}
    row["measured"] = measured_values(record_to_json(MADE))
    write_measured(tmp_path)
    assert today("em", row, tmp_path) == []
    # less than is shown of a number is no difference
    row["measured"] |= {"snr": 2.50001, "n_cases": 2, "noise_sd": 0.1, "diameters_mm": [20.0, 5.0, 1.5]}
    told = "volumes: 3 (was 2); sd of the noise: 0.078 (was 0.1); objects in mm: 20, 5 (was 20, 5, 1.5)"
    assert today("em", row, tmp_path) == [f"**Measured today**: {told}.", ""]


def test_what_was_another_quantity_in_former_days_is_not_compared(tmp_path):
    row = trained_row()
    row["measured"] = measured_values(record_to_json(MADE)) | {"noise_slope": -4.6, "snr": 65.0, "n_cases": 2}
    write_measured(tmp_path)
    assert today("em", row, tmp_path) == ["**Measured today**: volumes: 3 (was 2).", ""]
    row["fingerprint_schema"] = 5
    told = "volumes: 3 (was 2); slope of the noise: -1 (was -4.6); signal to noise: 2.5 (was 65)"
    assert today("em", row, tmp_path) == [f"**Measured today**: {told}.", ""]


def test_the_page_calls_the_slope_what_it_is(tmp_path):
    write_json(tmp_path / "em.json", trained_row())
    write_json(tmp_path / "ct.json", trained_row() | {"fingerprint_schema": 5})
    text = gallery_page.page(tmp_path, tmp_path, tmp_path)
    assert "spectral slope" not in text
    older, newer = (text.split(f"\n## {EXHIBITS[name].title}\n")[1] for name in ("em", "ct"))
    assert "slope of the spectrum -1.2" in older.split("\n## ")[0]
    assert "slope of the noise -1.2" in newer.split("\n## ")[0]


def test_own_parts_of_the_planner_that_would_be_others_today_are_told(tmp_path):
    row = trained_row() | {"parts_if_not_given": {"value": "2 3", "because": "measured"}}
    row["measured"] = measured_values(record_to_json(MADE))
    write_measured(tmp_path)
    assert today("em", row, tmp_path) == []
    row["parts_if_not_given"]["value"] = "2 4"
    assert today("em", row, tmp_path) == ["**Measured today**: parts if not given: 2 3 (was 2 4).", ""]
    write_measured(tmp_path, {key: value for key, value in PARTS.items() if key != "parts"})
    assert today("em", row, tmp_path) == ["**Measured today**: parts if not given: no more (was 2 4).", ""]


def test_the_page_tells_it_of_rows_with_and_without_results(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery_page, "today", lambda name, row: ["**Planned today**: " + name, ""])
    write_json(tmp_path / "em.json", trained_row())
    write_json(tmp_path / "ct.json", trained_row() | {"run": None, "scores": {}})
    text = gallery_page.page(tmp_path, tmp_path, tmp_path)
    assert "**Planned today**: em\n\n**Trained**" in text
    assert "**Planned today**: ct\n\nNot trained yet" in text


def decided(decisions):
    return {(d["configuration"], d["name"]): d["value"] for d in decisions if d["name"] not in OF_THE_MACHINE}


def configured(configurations):
    """Without what follows from the machine."""
    of_the_machine = ("precision", "estimated_gpu_memory_gb")
    return {
        name: {key: value for key, value in planned.items() if key not in of_the_machine}
        for name, planned in configurations.items()
    }


@pytest.mark.parametrize("name", EXHIBITS)
def test_a_row_is_of_today_or_the_page_says_what_is_not(name):
    row, golden = read_json(gallery_page.ROWS / f"{name}.json"), read_json(golden_measured(name))
    plan, measured = planned_values(read_json(golden_plan(name))), measured_values(golden["fingerprint"])
    if row["run"] is None:
        fingerprint = record_from_json(DatasetFingerprint, golden["fingerprint"], "golden")
        description = describe_dataset(golden["dataset"], "golden")
        hint = "plan it anew: python benchmarks/gallery.py plan"
        assert row["fingerprint_schema"] == golden["fingerprint"]["schema_version"], hint
        assert row["measured"] == measured, hint
        assert decided(row["plan"]["decisions"]) == decided(plan["decisions"]), hint
        assert configured(row["plan"]["configurations"]) == configured(plan["configurations"]), hint
        assert row["parts_if_not_given"] == parts_if_not_given(fingerprint, description), hint
        assert gallery_today.today(name, row) == []
        return
    text = gallery_page.PAGE.read_text(encoding="utf-8").partition(f"## {EXHIBITS[name].title}\n")[2]
    section = text.partition("\n## ")[0]
    before, now = gallery_today.comparable(row["plan"], plan)
    changed = {key for key in {*before, *now} if before.get(key) != now.get(key)}
    assert ("**Planned today**: " in section) is bool(changed)
    for key in changed:
        assert f"{key[1]}: {now.get(key, 'no more')} (" in section
    if "fingerprint_schema" not in row:
        measured = {key: value for key, value in measured.items() if key not in ("noise_slope", "snr")}
    # four digits are shown
    differing = [
        key for key, value in measured.items() if row["measured"][key] != pytest.approx(value, rel=1e-3)
    ]
    for key in differing:
        assert f"{gallery_today.NAMES[key]}: " in section
    if not differing:
        assert "**Measured today**: " not in section or "**Measured today**: parts if not given: " in section


@pytest.mark.parametrize("name", EXHIBITS)
def test_a_plan_of_a_machine_with_bfloat16_is_not_called_another(name):
    golden = read_json(golden_measured(name))
    fingerprint = record_from_json(DatasetFingerprint, golden["fingerprint"], "golden")
    budget = Budget(preset="fast", fast_bf16=True, hardware="another CPU")
    plan = plan_dataset(
        "Dataset001_Golden", fingerprint, describe_dataset(golden["dataset"], "golden"), budget
    )
    found = planned_values(record_to_json(plan))
    kept = planned_values(read_json(golden_plan(name)))
    assert found != kept
    # the patch differs, but neither resolution nor intensities do
    fine, kept_fine = (values["configurations"]["3d_fullres"] for values in (found, kept))
    assert all(fine[key] == kept_fine[key] for key in ("spacing_zyx_mm", "normalization"))
    row = {"fingerprint_schema": 5, "measured": measured_values(golden["fingerprint"]), "plan": found}
    assert today(name, row) == []
