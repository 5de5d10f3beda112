"""Weights as tensors alone: each once, back as they were, and of no other network."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from dd_nnunet.core.errors import UserError
from dd_nnunet.core.plan import LevelGroup, LevelPlan, SegmenterPlan
from dd_nnunet.networks.checkpoint import save_checkpoint
from dd_nnunet.networks.segmentation_unet import build_segmenter
from dd_nnunet.networks.shared_weights import pack_weights, unpack_weights
from dd_nnunet.networks.trained_segmenter import load_segmenter

WHERE = Path("checkpoint_final.pth")
KERNELS = ((3, 3, 3), (3, 3, 3))
PLAN = SegmenterPlan(
    (4, 8), ((1, 1, 1), (2, 2, 2)), KERNELS, 1, 1, 1, 1, 0, 1e-3, 1.0, 1.0, 1.0, True, (0.9, 1.1)
)


def two_names() -> nn.Module:
    """One layer that the state dict names twice, as U-Nets name their encoders."""
    network = nn.Module()
    network.first = nn.Linear(2, 1)
    network.second = network.first
    return network


def packed(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(tensors, path)
    return path


WEIGHTS = {"network.first.weight": torch.tensor([[1.0, 2.0]]), "network.first.bias": torch.tensor([3.0])}


def test_a_tensor_of_two_names_is_written_once_and_comes_back_under_both(tmp_path: Path) -> None:
    network = two_names()
    with torch.no_grad():
        network.first.weight.copy_(torch.tensor([[1.0, 2.0]]))
        network.first.bias.copy_(torch.tensor([3.0]))
    content = {"network": network.state_dict(), "order": [2, 0, 1], "epoch": 5}
    data = pack_weights(content, two_names, WHERE)
    written = safetensors.torch.load(data)
    assert {name: tensor.tolist() for name, tensor in written.items()} == {
        "network.first.weight": [[1, 2]], "network.first.bias": [3], "order": [2, 0, 1],
    }  # fmt: skip
    (tmp_path / "weights.safetensors").write_bytes(data)
    back = unpack_weights(tmp_path / "weights.safetensors", two_names)
    assert back["order"] == [2, 0, 1]
    assert {name: tensor.tolist() for name, tensor in back["network"].items()} == {
        "first.weight": [[1, 2]], "first.bias": [3], "second.weight": [[1, 2]], "second.bias": [3],
    }  # fmt: skip


def test_without_an_order_there_is_none(tmp_path: Path) -> None:
    assert set(unpack_weights(packed(tmp_path, WEIGHTS), two_names)) == {"network"}


def test_memory_order_does_not_matter() -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    linear = {"bias": torch.zeros(2)}
    plain = pack_weights({"network": linear | {"weight": weight}}, lambda: nn.Linear(3, 2), WHERE)
    turned = weight.t().contiguous().t()
    assert not turned.is_contiguous()
    assert pack_weights({"network": linear | {"weight": turned}}, lambda: nn.Linear(3, 2), WHERE) == plain


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"network.first.weight": torch.zeros(1, 3)}, r"first.weight has shape \(1, 3\)"),
        ({"network.extra": torch.zeros(1)}, "has no tensor 'network.extra'"),
        ({"network.second.weight": torch.zeros(1, 2)}, "has no tensor 'network.second.weight'"),
        ({"first.weight": torch.zeros(1, 2)}, "has no tensor 'first.weight'"),
        (
            {"network.first.weight": torch.zeros(1, 2, dtype=torch.float64)},
            "holds first.weight as torch.float64",
        ),
    ],
)
def test_tensors_of_another_network_are_refused(
    tmp_path: Path, change: dict[str, torch.Tensor], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        unpack_weights(packed(tmp_path, WEIGHTS | change), two_names)


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    path = packed(tmp_path, {"network.first.weight": WEIGHTS["network.first.weight"]})
    with pytest.raises(UserError, match=r"first\.bias is in one of them only"):
        unpack_weights(path, two_names)


@pytest.mark.parametrize("order", [[0, 0], [0], [0, 1, 2], [1, 2], [-1, 0], [0, 10**9]])
def test_an_order_of_parts_that_are_not_there_is_refused(tmp_path: Path, order: list[int]) -> None:
    path = tmp_path / "checkpoint_final.pth"
    save_checkpoint(path, {"network": build_segmenter(PLAN, 1, 2).state_dict(), "order": order})
    with pytest.raises(UserError, match="orders its parts"):
        load_segmenter(PLAN, 1, LevelGroup((LevelPlan(1, 2, (1,)),)), path)
