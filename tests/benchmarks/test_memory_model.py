import json

import memory_model
import pytest
import torch
from measuring import RESULTS
from memory_rows import ROWS, STEPS, configuration_of, predicted_gb

from dd_nnunet.networks.device import Runtime


def recorded():
    return json.loads((RESULTS / "memory_model_cpu.json").read_text(encoding="utf-8"))


def test_the_recorded_rows_are_those_of_the_benchmark():
    # lists for tuples, as JSON has them
    wanted = json.loads(json.dumps([row.__dict__ for row in ROWS]))
    found = [{key: row.get(key) for key in wanted[0]} for row in recorded()["rows"]]
    assert found == wanted, "measure them anew: python benchmarks/memory_model.py"


@pytest.mark.parametrize("number", range(len(ROWS)))
def test_the_estimate_of_today_is_within_15_percent_of_the_measured_peak(number):
    row, kept = ROWS[number], recorded()["rows"][number]
    now = predicted_gb(row, configuration_of(row), {"bfloat16": 2, "float32": 4}[kept["ran_in"]])
    for step, predicted in zip(STEPS, now, strict=True):
        assert 0.85 <= predicted / kept[step]["measured"] <= 1.15
        hint = "write the estimates anew: python benchmarks/memory_model.py"
        assert kept[step]["predicted"] == pytest.approx(predicted), hint
        assert kept[step]["ratio"] == pytest.approx(predicted / kept[step]["measured"])


def test_the_recorded_range_is_that_of_the_rows():
    ratios = [row[step]["ratio"] for row in recorded()["rows"] for step in STEPS]
    assert recorded()["ratio_range"] == [min(ratios), max(ratios)]


def test_kept_rows_get_the_estimates_of_today(tmp_path):
    path, (first, *_) = tmp_path / "memory_model_cpu.json", recorded()["rows"]
    old = {**first, **{step: {"predicted": 9.0, "measured": 2.0, "ratio": 4.5} for step in STEPS}}
    path.write_text(json.dumps({"rows": [old]}), encoding="utf-8")
    (kept,) = memory_model.kept_rows(path)
    for step in STEPS:
        predicted = first[step]["predicted"]
        assert kept[step] == pytest.approx({"predicted": predicted, "measured": 2.0, "ratio": predicted / 2})
    assert {key: kept[key] for key in first if key not in STEPS} == {
        key: first[key] for key in first if key not in STEPS
    }
    assert memory_model.kept_rows(tmp_path / "none.json") == []


def test_steps_are_measured_with_the_algorithms_that_training_takes(monkeypatch):
    found = []

    def look(work, device):
        found.append((torch.backends.cudnn.benchmark, device))
        return 1.0

    monkeypatch.setattr(memory_model, "measured_gb", look)
    monkeypatch.setattr(
        memory_model, "choose_runtime", lambda device, precision: Runtime(torch.device("cpu"), True, "")
    )
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    row = memory_model.measure(ROWS[0], "cuda")
    assert found == [(True, "cuda")] * 2
    assert row["ran_in"] == "bfloat16" and row["diffusion_gb"]["ratio"] == row["diffusion_gb"]["predicted"]
