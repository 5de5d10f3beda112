"""Running out of GPU memory, explained: what was planned, what there is, what to plan instead."""

import contextlib
from collections.abc import Iterator

import torch

from dd_nnunet.core.errors import UserError
from dd_nnunet.core.plan import ConfigurationPlan
from dd_nnunet.core.units import GB

# a plan is an estimate: it should end well below what there is
SAFE_SHARE = 0.75


@contextlib.contextmanager
def memory_explained(configuration: ConfigurationPlan, planning: str) -> Iterator[None]:
    """Turn torch's error into one that names the way out; nothing is made smaller behind the user's back.

    Args:
        configuration: the plan that did not fit.
        planning: the command that plans this dataset anew, without name and memory of the plan.

    Raises:
        UserError: the GPU's memory was used up.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        available = _available_gb()
        target = suggested_target_gb(configuration.gpu_memory_target_gb, available)
        here = "" if available is None else f"; there are {available:.1f} GB here for it"
        reason = (
            f"the GPU's memory is used up: a training step of this plan was estimated to need "
            f"{configuration.estimated_gpu_memory_gb:.1f} GB of the {configuration.gpu_memory_target_gb:g} GB "
            f"that -gpu_memory_target allowed{here} ({str(error).splitlines()[0]})"
        )
        name = f"ddPlans_{target:g}GB"
        remedy = (
            f"end other programs on the GPU, or run: {planning} "
            f"-gpu_memory_target {target:g} -overwrite_plans_name {name}, then dd_train with -p {name}"
        )
        raise UserError("-gpu_memory_target", reason, remedy) from error


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
