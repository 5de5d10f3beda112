"""Too little memory, told before and after it runs out: what was planned, what there is, what to plan instead."""

import contextlib
import logging
from collections.abc import Iterator

import torch

from dd_nnunet.core.errors import UserError
from dd_nnunet.core.plan import ConfigurationPlan
from dd_nnunet.core.units import GB
from dd_nnunet.networks.device import Runtime
from dd_nnunet.planning.memory import training_bytes
from dd_nnunet.storage.hardware import available_ram_bytes

_logger = logging.getLogger(__name__)

# a plan is an estimate: it should end well below what there is
SAFE_SHARE = 0.75
# torch has no error of its own for the CPU's memory
OF_THE_CPU = "DefaultCPUAllocator"


@contextlib.contextmanager
def memory_explained(configuration: ConfigurationPlan, planning: str) -> Iterator[None]:
    """Turn torch's error into one that names the way out; nothing is made smaller behind the user's back.

    Args:
        configuration: the plan that did not fit.
        planning: the command that plans this dataset anew, without name and memory of the plan.

    Raises:
        UserError: the memory was used up, of the GPU or of the CPU.
    """
    try:
        yield
    except RuntimeError as error:
        on_gpu = isinstance(error, torch.OutOfMemoryError)
        if not on_gpu and OF_THE_CPU not in str(error):
            raise
        available = _available_gb() if on_gpu else available_ram_bytes() / GB
        memory = "the GPU's memory" if on_gpu else "the memory"
        target = suggested_target_gb(configuration.gpu_memory_target_gb, available)
        here = "" if available is None else f"; there are {available:.1f} GB here for it"
        reason = (
            f"{memory} is used up: a training step of this plan was estimated to need "
            f"{configuration.estimated_gpu_memory_gb:.1f} GB of the {configuration.gpu_memory_target_gb:g} GB "
            f"that -gpu_memory_target allowed{here} ({str(error).splitlines()[0]})"
        )
        where = " on the GPU" if on_gpu else ""
        remedy = f"end other programs{where}, or run: {_planning_with(target, planning)}"
        raise UserError("-gpu_memory_target", reason, remedy) from error


def warn_of_memory(configuration: ConfigurationPlan, runtime: Runtime, planning: str) -> None:
    """Tell where a training step is estimated to need more memory than is free now, or than was planned.

    The latter is where a plan for bfloat16 is trained in float32. It is tried nevertheless.

    Args:
        configuration: the plan, as it stands: what was edited by hand counts.
        runtime: the device, whose memory it is, and the number format that is really used.
        planning: the command that plans this dataset anew, without name and memory of the plan.
    """
    on_cuda = runtime.device.type == "cuda"
    available = _available_gb() if on_cuda else available_ram_bytes() / GB
    needed = training_bytes(configuration, 2 if runtime.bfloat16 else 4) / GB
    planned = configuration.gpu_memory_target_gb
    in_float32 = configuration.precision == "bfloat16" and not runtime.bfloat16
    if available is None or needed <= available:
        if in_float32 and needed > planned:
            _logger.warning(
                "warning: a training step of this plan is estimated to need %.2f GB in float32, and %g GB of "
                "bfloat16 were planned for; to stay below them, plan on this machine: %s",
                needed,
                planned,
                _planning_with(planned, planning),
            )
        return
    target = suggested_target_gb(planned, available)
    _logger.warning(
        "warning: a training step of this plan is estimated to need %.2f GB%s, and %.2f GB are free; "
        "it may run out of memory: end other programs, or run: %s",
        needed,
        " on the GPU" if on_cuda else "",
        available,
        _planning_with(target, planning),
    )


def _planning_with(target_gb: float, planning: str) -> str:
    name = f"ddPlans_{target_gb:g}GB"
    return f"{planning} -gpu_memory_target {target_gb:g} -overwrite_plans_name {name}, then dd_train with -p {name}"


def suggested_target_gb(target: float, available: float | None) -> float:
    """Three quarters of what was planned for or of what there is, whichever is less; at least 0.1.

    Args:
        target: of the plan that did not fit, in GB.
        available: what this process may have, in GB; None if unknown.
    """
    bound = target if available is None else min(target, available)
    return max(int(bound * SAFE_SHARE * 10) / 10, 0.1)


def _available_gb() -> float | None:
    """What is free and what this process already holds."""
    if not torch.cuda.is_available():
        return None
    free, _ = torch.cuda.mem_get_info()
    return float(free + torch.cuda.memory_reserved()) / GB
