import measuring
import pytest
import torch
from measuring import machine

from dd_nnunet.networks.device import Device

CPU = Device("cpu", "a CPU", 8 * 1024**3, False)
CUDA = Device("cuda", "NVIDIA H200", 150_754_820_096, True)


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(measuring, "list_devices", lambda: (CUDA, CPU))
    monkeypatch.setattr(measuring, "nvidia_driver", lambda: "570.86.15")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)


@pytest.mark.parametrize(
    "devices", [(), ("cpu",), ("cpu, bfloat16", "cpu, float32 (planned bfloat16, but …)")]
)
def test_a_gpu_that_was_not_used_is_not_named(gpu, devices):
    assert not {"gpu", "cuda", "nvidia_driver"} & machine(*devices).keys()


@pytest.mark.parametrize("devices", [("cuda",), ("cuda, bfloat16", "cuda, bfloat16")])
def test_the_gpu_that_was_used_is_named_with_its_memory_and_versions(gpu, devices):
    about = machine(*devices)
    assert {key: about[key] for key in ("gpu", "gpu_memory_gb", "nvidia_driver", "cuda", "cudnn")} == {
        "gpu": "NVIDIA H200",
        "gpu_memory_gb": 140.4,
        "nvidia_driver": "570.86.15",
        "cuda": "12.8",
        "cudnn": 91002,
    }
    assert about["torch"] == torch.__version__


def test_another_machines_gpu_has_no_name_here(monkeypatch):
    monkeypatch.setattr(measuring, "list_devices", lambda: (CPU,))
    assert machine("cuda, bfloat16")["gpu"] is None
