"""F68: -device auto takes the CPU with a warning where there is no GPU; -device cuda is refused there."""

import logging

import pytest
import torch
from predicting import make_toy, noise
from small_dataset import make_trainable

from dd_nnunet.commands import train
from dd_nnunet.core.errors import UserError
from dd_nnunet.networks.device import choose_runtime


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_auto_takes_the_cpu_and_says_so(caplog):
    assert choose_runtime("auto", "float32").device == torch.device("cpu")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert (
        record.getMessage()
        == "warning: torch sees no GPU; the CPU is used (-device cpu is the same, silently)"
    )


def test_the_cpu_asked_for_is_no_surprise(caplog):
    assert choose_runtime("cpu", "float32").device == torch.device("cpu")
    assert caplog.records == []


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_gpu_asked_for_is_not_replaced(device):
    with pytest.raises(
        UserError, match=f"-device {device}: is not available to torch here; use -device auto or cpu"
    ):
        choose_runtime(device, "float32")


def test_the_command_refuses_it_before_anything_is_trained(tmp_path, monkeypatch, capsys):
    trainable = make_trainable(tmp_path, monkeypatch)
    assert train.main([*trainable.arguments(), "-device", "cuda"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "dd_train: error: -device cuda: is not available to torch here; use -device auto or cpu"
    assert not trainable.fold.exists()


def test_prediction_refuses_it_too(tmp_path, capsys):
    toy = make_toy(tmp_path)
    toy.add_image("a", noise())
    assert toy.predict("-device", "cuda") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("error: -device cuda: is not available to torch here; use -device auto or cpu")
    assert not [path for path in toy.out.rglob("*") if path.is_file()]
