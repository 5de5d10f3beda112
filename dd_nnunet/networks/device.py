"""Which device runs, in which number format, and how tensors lie in its memory."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage.hardware import FAST_CUDA_CAPABILITY, available_ram_bytes, cpu_name

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Runtime:
    """How this run computes: the device, bfloat16 or not, and a line that says so."""

    device: torch.device
    bfloat16: bool
    because: str

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """bfloat16 autocast where it is on; nothing otherwise."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            yield

    def place_network(self, network: nn.Module) -> nn.Module:
        """Move a network to the device in channels-last order, which its convolutions are fastest in."""
        return network.to(self.device, memory_format=self._memory_format)  # type: ignore[call-overload, no-any-return]

    def place(self, volumes: Tensor) -> Tensor:
        """Move [B,C,Z,Y,X] to the device in channels-last order."""
        return volumes.to(self.device, memory_format=self._memory_format)

    @property
    def _memory_format(self) -> torch.memory_format:
        # MPS has no 3-D channels-last kernels
        return torch.contiguous_format if self.device.type == "mps" else torch.channels_last_3d


@dataclass(frozen=True)
class Device:
    """A device that torch can use here: `-device` value, its own name, memory, whether bfloat16 is fast on it."""

    kind: str
    name: str
    memory_bytes: int
    fast_bf16: bool


def list_devices() -> tuple[Device, ...]:
    """All devices that torch can use here, in the order in which `auto` takes them; the CPU comes last."""
    found = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(index)
        fast = (properties.major, properties.minor) >= FAST_CUDA_CAPABILITY
        found.append(Device("cuda", properties.name, properties.total_memory, fast))
    if torch.backends.mps.is_available():
        found.append(Device("mps", "Apple GPU", available_ram_bytes(), _bfloat16_is_fast("mps")))
    found.append(Device("cpu", cpu_name(), available_ram_bytes(), _bfloat16_is_fast("cpu")))
    return tuple(found)


def choose_runtime(device: str, precision: str) -> Runtime:
    """Choose the device and the number format.

    Args:
        device: "auto" takes CUDA, then MPS, then the CPU.
        precision: the plan's; "bfloat16" is used only where the device has instructions for it.

    Raises:
        UserError: a device that is not there.
    """
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        device = next(name for name in ("cuda", "mps", "cpu") if present[name])
        if device == "cpu":
            _logger.warning("warning: torch sees no GPU; the CPU is used (-device cpu is the same, silently)")
    elif device not in present:
        raise UserError(f"-device {device}", "is not known", f"choose one of: auto {' '.join(present)}")
    elif not present[device]:
        raise UserError(f"-device {device}", "is not available to torch here", "use -device auto or cpu")
    bfloat16 = precision == "bfloat16" and _bfloat16_is_fast(device)
    if precision == "bfloat16" and not bfloat16:
        because = f"{device}, float32 (planned bfloat16, but this device is not fast at it)"
    else:
        because = f"{device}, {'bfloat16' if bfloat16 else 'float32'}"
    return Runtime(torch.device(device), bfloat16, because)


def _bfloat16_is_fast(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.get_device_capability() >= FAST_CUDA_CAPABILITY
    if device == "mps":
        return False
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_arm_bf16_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in names)
