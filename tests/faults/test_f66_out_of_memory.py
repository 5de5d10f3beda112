"""F66: out of GPU memory: an error with estimate and -gpu_memory_target to use (not testable here: a real GPU)."""

import re

import pytest
import torch
from small_dataset import make_trainable

from dd_nnunet.storage.atomic import read_json
from dd_nnunet.training.memory_error import suggested_target_gb
from dd_nnunet.training.train_segmenter import _SegmenterTrainer

SAID = "CUDA out of memory. Tried to allocate 2.00 GiB.\nSee documentation for Memory Management"


def test_the_way_out_is_named_and_nothing_is_made_smaller(tmp_path, monkeypatch, capsys):
    trainable = make_trainable(tmp_path, monkeypatch)
    calls = []

    def no_memory(self, batch):
        calls.append(len(batch["data"]))
        raise torch.OutOfMemoryError(SAID)

    monkeypatch.setattr(_SegmenterTrainer, "loss", no_memory)
    plan = read_json(trainable.folders.plans_json("ddPlans"))
    assert trainable.train("-q") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "estimated to need 1.0 GB of the 8 GB that -gpu_memory_target allowed" in error
    assert "(CUDA out of memory. Tried to allocate 2.00 GiB.)" in error
    assert (
        "run: dd_plan_and_preprocess -d 7 --preset fast -gpu_memory_target 6 -overwrite_plans_name ddPlans_6GB, "
        "then dd_train with -p ddPlans_6GB" in error
    )
    assert calls == [1]  # not tried again, not with another batch
    assert read_json(trainable.folders.plans_json("ddPlans")) == plan


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_that_is_really_full(tmp_path, monkeypatch, capsys):
    """A step that needs twice the GPU's memory; the diffusion model before it fits."""
    trainable = make_trainable(tmp_path, monkeypatch)
    _, total = torch.cuda.mem_get_info()
    loss = _SegmenterTrainer.loss

    def hungry(self, batch):
        ballast = torch.empty(2 * total, dtype=torch.uint8, device="cuda")
        return loss(self, batch), ballast

    monkeypatch.setattr(_SegmenterTrainer, "loss", hungry)
    assert trainable.train("-q", "-device", "cuda") == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert "estimated to need 1.0 GB of the 8 GB that -gpu_memory_target allowed" in error
    found = re.search(
        r"; there are (\d+\.\d) GB here for it \(CUDA out of memory\. Tried to allocate ", error
    )
    assert found and 0 < float(found[1]) <= total / 1024**3
    assert re.search(
        r"dd_plan_and_preprocess -d 7 --preset fast -gpu_memory_target [\d.]+ -overwrite_plans_name ddPlans_",
        error,
    )
    assert not (trainable.fold / "level1" / "finished.json").exists()
    # what was trained before is kept, and with memory the same command goes on
    monkeypatch.setattr(_SegmenterTrainer, "loss", loss)
    assert trainable.train("-q", "-device", "cuda") == 0


@pytest.mark.parametrize(
    ("target", "available", "suggested"), [(8, None, 6.0), (8, 24.0, 6.0), (24, 10.0, 7.5), (0.1, None, 0.1)]
)
def test_the_target_to_use_is_three_quarters_of_what_there_is(target, available, suggested):
    assert suggested_target_gb(target, available) == suggested


def test_other_errors_stay_what_they_are(tmp_path, monkeypatch):
    trainable = make_trainable(tmp_path, monkeypatch)

    def broken(self, batch):
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(_SegmenterTrainer, "loss", broken)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        trainable.train("-q")
