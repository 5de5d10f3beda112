"""What this machine offers, mostly read from /proc and /sys: processors, memory, whether bfloat16 is fast."""

import math
import multiprocessing
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from dd_nnunet.core.units import GB

BF16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")
# compute capability of the first NVIDIA GPUs with bfloat16 tensor cores
FAST_CUDA_CAPABILITY = (8, 0)
ASK_CAPABILITY = ("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader")
ASK_SECONDS = 10
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
# (quota and period in one file or two), cgroup v2 and v1
CGROUP_CPU = (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"))
# 8 training workers with their queues and events need 34, a pool of processes fewer
N_SEMAPHORES = 40
FALLBACK_RAM_BYTES = 4 * GB
ROOT = Path("/")


@dataclass(frozen=True)
class Accelerator:
    """What training will compute on: its name, and whether bfloat16 is fast on it."""

    name: str
    fast_bf16: bool


def find_accelerator(root: Path = ROOT) -> Accelerator:
    """Look for an NVIDIA GPU, else for a CPU with bfloat16 instructions.

    GPUs are fast at bfloat16 from compute capability 8.0 on; one that nobody tells it of is taken for such a one.

    Args:
        root: of the file system; tests give a made-up one.
    """
    if has_nvidia_gpu(root):
        capability = nvidia_capability()
        if capability is None:
            return Accelerator("the NVIDIA GPU", True)
        shown = ".".join(map(str, capability))
        return Accelerator(
            f"the NVIDIA GPU of compute capability {shown}", capability >= FAST_CUDA_CAPABILITY
        )
    fields = _cpu_fields(root)
    flags = set(" ".join(fields.get(key, "") for key in ("flags", "Features")).split())
    return Accelerator(f"this CPU ({cpu_name(root)})", not flags.isdisjoint(BF16_FLAGS))


def has_nvidia_gpu(root: Path = ROOT) -> bool:
    """Whether an NVIDIA driver runs here; torch may know better whether it can use it."""
    return any((root / trace).exists() for trace in NVIDIA_TRACES)


def nvidia_capability() -> tuple[int, int] | None:
    """Compute capability of the least capable NVIDIA GPU, as its driver's tool tells it; None where it does not."""
    if shutil.which(ASK_CAPABILITY[0]) is None:
        return None
    try:
        told = subprocess.run(ASK_CAPABILITY, capture_output=True, text=True, timeout=ASK_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.findall(r"^\s*(\d+)\.(\d+)\s*$", told.stdout, re.MULTILINE)
    return min(((int(major), int(minor)) for major, minor in found), default=None)


def cpu_name(root: Path = ROOT) -> str:
    """The processor's name, or at least its kind."""
    return _cpu_fields(root).get("model name") or platform.processor() or platform.machine()


def nvidia_driver(root: Path = ROOT) -> str | None:
    """Version of the NVIDIA driver, or None where there is none."""
    match = re.search(r"Module.*?\s(\d[\d.]+)\s", _read(root / NVIDIA_TRACES[0]))
    return match[1] if match else None


def available_ram_bytes(root: Path = ROOT) -> int:
    """Memory that can still be used: what the system has free, within the limit of the control group."""
    bounds = [bound for bound in (_free_ram(root), _free_in_cgroup(root)) if bound is not None]
    return max(0, min(bounds, default=FALLBACK_RAM_BYTES))


def cpu_count(root: Path = ROOT) -> int:
    """Processors that this process may use, at most the share that its control group has, rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for names in CGROUP_CPU:
        numbers = " ".join(_read(root / "sys/fs/cgroup" / name) for name in names).split()
        if len(numbers) == 2 and all(number.isdigit() for number in numbers):
            quota, period = map(int, numbers)
            return max(1, min(allowed, math.ceil(quota / period)))
    return allowed


def why_no_processes() -> str | None:
    """Why work cannot be shared between processes, or None if it can.

    Processes need semaphores, which Linux keeps in /dev/shm, 4 KiB each. Nothing else of ours lies there: batches
    and results travel through pipes, so that the 64 MB of a container are enough.
    """
    try:
        _ = [multiprocessing.Semaphore() for _ in range(N_SEMAPHORES)]
    except (OSError, ImportError) as error:
        return f"no semaphores can be made, is /dev/shm full or missing? ({error})"
    return None


def shared_memory_bytes(root: Path = ROOT) -> int | None:
    """Free bytes of /dev/shm; None where there is none, as outside of Linux."""
    try:
        status = os.statvfs(root / "dev/shm")
    except (OSError, AttributeError):
        return None
    return status.f_bavail * status.f_frsize


def open_file_limit() -> int | None:
    """How many files this process may have open at once; None for no limit."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


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
