import os

import pytest

from dd_nnunet.storage.hardware import (
    Accelerator,
    available_ram_bytes,
    cpu_count,
    find_accelerator,
    nvidia_capability,
    open_file_limit,
    shared_memory_bytes,
    why_no_processes,
)

INTEL = "model name : Old CPU\nflags : fpu avx512f\n\nmodel name : x\nflags : amx_bf16\n"


def make_root(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16"])
def test_bf16_instructions_of_x86(tmp_path, flag):
    root = make_root(tmp_path, {"proc/cpuinfo": f"model name\t: New CPU\nflags\t\t: fpu {flag} sse\n"})
    assert find_accelerator(root) == Accelerator("this CPU (New CPU)", True)


def test_bf16_instructions_of_arm(tmp_path):
    root = make_root(tmp_path, {"proc/cpuinfo": "processor : 0\nFeatures : fp asimd bf16 i8mm\n"})
    assert find_accelerator(root).fast_bf16


def test_a_cpu_without_them_judged_by_its_first_processor(tmp_path):
    root = make_root(tmp_path, {"proc/cpuinfo": INTEL})
    assert find_accelerator(root) == Accelerator("this CPU (Old CPU)", False)


def test_a_gpu_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    root = make_root(tmp_path, {"proc/cpuinfo": INTEL, "proc/driver/nvidia/version": "x"})
    assert find_accelerator(root) == Accelerator("the NVIDIA GPU", True)


@pytest.mark.parametrize(
    ("told", "fast"), [("9.0", True), ("8.0", True), ("7.5", False), ("8.6\n7.0", False), ("[N/A]", True)]
)
def test_gpus_of_capability_8_are_fast(tmp_path, monkeypatch, told, fast):
    root = make_root(
        tmp_path, {"proc/driver/nvidia/version": "x", "bin/nvidia-smi": f"#!/bin/sh\necho '{told}'\n"}
    )
    (root / "bin/nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(root / "bin"), prepend=":")
    assert find_accelerator(root).fast_bf16 == fast


def test_a_tool_that_fails_tells_nothing(tmp_path, monkeypatch):
    root = make_root(tmp_path, {"bin/nvidia-smi": "#!/bin/sh\nexit 9\n"})
    (root / "bin/nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(root / "bin"), prepend=":")
    assert nvidia_capability() is None


def test_an_unknown_machine_has_no_fast_bf16(tmp_path):
    assert not find_accelerator(tmp_path).fast_bf16
    assert available_ram_bytes(tmp_path) == 4 * 1024**3


def test_free_memory_of_the_system(tmp_path):
    root = make_root(tmp_path, {"proc/meminfo": "MemTotal: 900 kB\nMemAvailable:     700 kB\n"})
    assert available_ram_bytes(root) == 700 * 1024


def test_a_control_group_limits_it_and_gives_its_cache_back(tmp_path):
    files = {
        "proc/meminfo": "MemAvailable: 700 kB\n",
        "sys/fs/cgroup/memory.max": "500000\n",
        "sys/fs/cgroup/memory.current": "400000\n",
        "sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 50000\n",
    }
    assert available_ram_bytes(make_root(tmp_path, files)) == 150_000


def test_a_control_group_of_the_first_version(tmp_path):
    files = {
        "proc/meminfo": "MemAvailable: 700 kB\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "500000\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "400000\n",
    }
    assert available_ram_bytes(make_root(tmp_path, files)) == 100_000


def test_no_limit_is_none(tmp_path):
    files = {
        "proc/meminfo": "MemAvailable: 700 kB\n",
        "sys/fs/cgroup/memory.max": "max\n",
        "sys/fs/cgroup/memory.current": "400000\n",
    }
    assert available_ram_bytes(make_root(tmp_path, files)) == 700 * 1024


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({}, 6),
        ({"cpu.max": "max 100000\n"}, 6),
        ({"cpu.max": "250000 100000\n"}, 3),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu.max": "900000 100000\n"}, 6),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 6),
    ],
)
def test_a_control_group_limits_the_processors(tmp_path, monkeypatch, files, count):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    root = make_root(tmp_path, {f"sys/fs/cgroup/{name}": text for name, text in files.items()})
    assert cpu_count(root) == count


def test_there_may_be_no_shared_memory(tmp_path):
    assert shared_memory_bytes(tmp_path) is None
    (tmp_path / "dev/shm").mkdir(parents=True)
    assert shared_memory_bytes(tmp_path) > 0


def test_this_machine():
    assert available_ram_bytes() > 0 and cpu_count() >= 1
    assert why_no_processes() is None
    limit = open_file_limit()
    assert limit is None or limit > 0
