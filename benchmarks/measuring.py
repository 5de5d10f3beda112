"""What the benchmarks share: timing, the machine's name, and where results go."""

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from dd_nnunet.core.units import GB
from dd_nnunet.networks.device import list_devices
from dd_nnunet.storage.hardware import nvidia_driver

RESULTS = Path(__file__).parent / "results"


def best_seconds(work: Callable[[], object], repeats: int) -> float:
    """Smallest wall time of `repeats` calls, after one call to warm up."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def machine(*devices: str) -> dict[str, object]:
    """Processor, versions and load, to stand beside every number; of GPUs those that were used.

    Args:
        devices: what ran, by kind, as finished.json has it: "cuda", "cpu, bfloat16", …; none is the CPU.
    """
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
        **_gpu({device.partition(",")[0] for device in devices}),
    }


def _gpu(kinds: set[str]) -> dict[str, object]:
    """Name, memory and versions of the first GPU of these kinds; nothing where only the CPU was used.

    A name of None says that a GPU was used and that this machine has none.
    """
    if kinds <= {"cpu"}:
        return {}
    found = next((device for device in list_devices() if device.kind in kinds - {"cpu"}), None)
    if found is None:
        return {"gpu": None}
    about: dict[str, object] = {"gpu": found.name, "gpu_memory_gb": round(found.memory_bytes / GB, 1)}
    if found.kind == "cuda":
        about |= {
            "nvidia_driver": nvidia_driver(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return about


def write_result(name: str, result: dict[str, Any]) -> None:
    """Write results/{name}.json and show it."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=2) + "\n"
    (RESULTS / f"{name}.json").write_text(text)
    print(text, end="")
