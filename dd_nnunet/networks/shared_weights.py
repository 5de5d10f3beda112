"""Weights that travel between strangers: tensors alone, in a file that cannot hold anything else."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from dd_nnunet.core.errors import UserError
from dd_nnunet.networks.checkpoint import check_weights

ORDER = "order"
PREFIX = "network."


def pack_weights(content: dict[str, Any], build: Callable[[], nn.Module], where: Path) -> bytes:
    """A checkpoint's network, and the order of its parts if it has one, as the bytes of a safetensors file.

    Each tensor is written once, however many names the network has for it. The same weights always give the same
    bytes. What else the checkpoint holds stays at home.

    Args:
        content: of a checkpoint: "network" and perhaps "order".
        build: makes the network that the plan describes.
        where: the checkpoint's file, used in errors.

    Raises:
        UserError: the weights are those of another network.
    """
    network = _build_without_memory(build, where)
    weights = content.get("network", {})
    check_weights(network, weights, where)
    tensors = {PREFIX + name: weights[name].contiguous() for name in set(_first_names(network).values())}
    if ORDER in content:
        tensors[ORDER] = torch.tensor(list(content[ORDER]), dtype=torch.int64)
    return safetensors.torch.save(dict(sorted(tensors.items())))


def unpack_weights(path: Path, build: Callable[[], nn.Module]) -> dict[str, Any]:
    """The checkpoint's content that `pack_weights` was given, checked against the plan's network.

    Raises:
        UserError: the file is damaged, or its tensors are those of another network.
    """
    tensors = _read(path)
    order = tensors.pop(ORDER, None)
    network = _build_without_memory(build, path)
    names = _first_names(network)
    strangers = sorted(set(tensors) - {PREFIX + first for first in names.values()})
    if strangers:
        reason = f"is of another network (the plan's has no tensor {strangers[0]!r})"
        raise UserError(path, reason, "use the plan it was trained with")
    weights = {name: tensors[PREFIX + first] for name, first in names.items() if PREFIX + first in tensors}
    check_weights(network, weights, path)
    for name, tensor in network.state_dict().items():
        if weights[name].dtype != tensor.dtype:
            reason = f"holds {name} as {weights[name].dtype}, the plan's network has {tensor.dtype}"
            raise UserError(path, reason, "use the plan it was trained with")
    return {"network": weights} if order is None else {"network": weights, ORDER: _whole_numbers(order)}


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise UserError(path, f"holds no tensors that can be read ({error})", "copy it again") from None


def _build_without_memory(build: Callable[[], nn.Module], where: Path) -> nn.Module:
    """The network with shapes but without numbers: however large a plan says it is, it takes no memory."""
    try:
        with torch.device("meta"):
            return build()
    # a stranger's plan may describe what the library cannot build, for reasons of many kinds
    except Exception as error:
        reason = f"belongs to a plan whose network cannot be built ({error})"
        raise UserError(where, reason, "use the plan it was trained with") from None


def _first_names(network: nn.Module) -> dict[str, str]:
    """Each name in the state dict -> the first name of the same tensor."""
    firsts: dict[int, str] = {}
    state = network.state_dict(keep_vars=True)
    return {name: firsts.setdefault(id(tensor), name) for name, tensor in state.items()}


def _whole_numbers(order: Tensor) -> Sequence[int]:
    numbers: list[int] = order.flatten().to(torch.int64).tolist()
    return numbers
