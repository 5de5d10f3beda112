import memory_model
import torch

from dd_nnunet.networks.device import Runtime


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
