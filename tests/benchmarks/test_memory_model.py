import json

import memory_model
import pytest
import torch
from measuring import RESULTS

from dd_nnunet.networks.device import Runtime

STEPS = ("diffusion_gb", "segmenter_gb")


def recorded():
    return json.loads((RESULTS / "memory_model_cpu.json").read_text(encoding="utf-8"))


def test_the_recorded_rows_are_those_of_the_benchmark():
    # lists for tuples, as JSON has them
    wanted = json.loads(json.dumps([row.__dict__ for row in memory_model.ROWS]))
    found = [{key: row.get(key) for key in wanted[0]} for row in recorded()["rows"]]
    assert found == wanted, "measure them anew: python benchmarks/memory_model.py"


def test_every_recorded_estimate_is_within_15_percent_of_the_measured_peak():
    rows = recorded()["rows"]
    ratios = [row[step]["ratio"] for row in rows for step in STEPS]
    assert [row[step]["predicted"] / row[step]["measured"] for row in rows for step in STEPS] == (
        pytest.approx(ratios)
    )
    assert min(ratios) >= 0.85 and max(ratios) <= 1.15
    assert recorded()["ratio_range"] == [min(ratios), max(ratios)]


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
    row = memory_model.measure(memory_model.ROWS[0], "cuda")
    assert found == [(True, "cuda")] * 2
    assert row["ran_in"] == "bfloat16" and row["diffusion_gb"]["ratio"] == row["diffusion_gb"]["predicted"]
