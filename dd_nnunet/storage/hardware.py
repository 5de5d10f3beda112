"""What this machine offers, read from /proc and /sys: processors, memory, and whether bfloat16 is fast."""

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

BF16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")
NVIDIA_TRACES = ("proc/driver/nvidia/version", "dev/nvidia0")
# (limit, usage, statistics, page cache that the kernel gives back at once), cgroup v2 and v1
CGROUP_MEMORY = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)
FALLBACK_RAM_BYTES = 4 * 1024**3
ROOT = Path("/")


@dataclass(frozen=True)
class Accelerator:
    """What training will compute on: its name, and whether bfloat16 is fast on it."""

    name: str
    fast_bf16: bool


def find_accelerator(root: Path = ROOT) -> Accelerator:
    """Look for an NVIDIA GPU, which computes bfloat16 fast, else for a CPU with bfloat16 instructions.

    Args:
        root: of the file system; tests give a made-up one.
    """
    if any((root / trace).exists() for trace in NVIDIA_TRACES):
        return Accelerator("the NVIDIA GPU", True)
    fields = _cpu_fields(root)
    flags = set(" ".join(fields.get(key, "") for key in ("flags", "Features")).split())
    name = fields.get("model name") or platform.processor() or platform.machine()
    return Accelerator(f"this CPU ({name})", not flags.isdisjoint(BF16_FLAGS))


def nvidia_driver(root: Path = ROOT) -> str | None:
    """Version of the NVIDIA driver, or None where there is none."""
    match = re.search(r"Module.*?\s(\d[\d.]+)\s", _read(root / NVIDIA_TRACES[0]))
    return match[1] if match else None


def available_ram_bytes(root: Path = ROOT) -> int:
    """Memory that can still be used: what the system has free, within the limit of the control group."""
    bounds = [bound for bound in (_free_ram(root), _free_in_cgroup(root)) if bound is not None]
    return max(0, min(bounds, default=FALLBACK_RAM_BYTES))


def cpu_count() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_fields(root: Path) -> dict[str, str]:
    lines = _read(root / "proc/cpuinfo").splitlines()
    pairs = (line.partition(":") for line in lines)
    # the first processor stands for all
    fields: dict[str, str] = {}
    for key, _, value in pairs:
        fields.setdefault(key.strip(), value.strip())
    return fields


def _free_ram(root: Path) -> int | None:
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _free_in_cgroup(root: Path) -> int | None:
    for limit_name, usage_name, statistics_name, cache_key in CGROUP_MEMORY:
        limit = _number(root / "sys/fs/cgroup" / limit_name)
        usage = _number(root / "sys/fs/cgroup" / usage_name)
        if limit is not None and usage is not None:
            statistics = dict(
                line.split(maxsplit=1)
                for line in _read(root / "sys/fs/cgroup" / statistics_name).splitlines()
            )
            return limit - usage + int(statistics.get(cache_key, "0"))
    return None


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
