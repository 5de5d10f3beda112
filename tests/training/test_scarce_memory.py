"""dd_train says at its start where a step of the plan needs more memory than is free, and what to plan instead."""

from dataclasses import replace

import pytest
import torch
from small_dataset import make_trainable
from small_plan import make_plan

from dd_nnunet.core.units import GB
from dd_nnunet.networks.device import Runtime
from dd_nnunet.planning.memory import training_bytes
from dd_nnunet.training import memory_error
from dd_nnunet.training.memory_error import warn_of_memory

CONFIGURATION = make_plan().configuration("3d_fullres")
NEEDED = training_bytes(CONFIGURATION, 4)
PLANNING = "dd_plan_and_preprocess -d 7 --preset fast"


def runtime(device="cpu", bfloat16=False):
    return Runtime(torch.device(device), bfloat16, device)


def free(monkeypatch, n_bytes):
    monkeypatch.setattr(memory_error, "available_ram_bytes", lambda: int(n_bytes))


def test_enough_is_silent(monkeypatch, caplog):
    free(monkeypatch, NEEDED + 1)
    warn_of_memory(CONFIGURATION, runtime(), PLANNING)
    assert not caplog.records


def test_too_little_is_told_with_the_way_out(monkeypatch, caplog):
    free(monkeypatch, NEEDED - 1)
    warn_of_memory(CONFIGURATION, runtime(), PLANNING)
    assert caplog.messages == [
        f"warning: a training step of this plan is estimated to need {NEEDED / GB:.2f} GB, and "
        f"{NEEDED / GB:.2f} GB are free; it may run out of memory: end other programs, or run: {PLANNING} "
        "-gpu_memory_target 0.1 -overwrite_plans_name ddPlans_0.1GB, then dd_train with -p ddPlans_0.1GB"
    ]


def test_the_number_format_that_is_really_used_counts(monkeypatch, caplog):
    assert training_bytes(CONFIGURATION, 2) < NEEDED
    free(monkeypatch, NEEDED - 1)
    warn_of_memory(CONFIGURATION, runtime(bfloat16=True), PLANNING)
    assert not caplog.records


@pytest.mark.parametrize(
    ("share", "in_bfloat16", "told"), [(0.9, False, True), (0.9, True, False), (1.1, False, False)]
)
def test_a_plan_for_bfloat16_that_is_trained_in_float32(monkeypatch, caplog, share, in_bfloat16, told):
    free(monkeypatch, 10 * NEEDED)
    target = share * NEEDED / GB
    planned = replace(CONFIGURATION, precision="bfloat16", gpu_memory_target_gb=target)
    warn_of_memory(planned, runtime(bfloat16=in_bfloat16), PLANNING)
    name = f"ddPlans_{target:g}GB"
    expected = (
        f"warning: a training step of this plan is estimated to need {NEEDED / GB:.2f} GB in float32, and "
        f"{target:g} GB of bfloat16 were planned for; to stay below them, plan on this machine: {PLANNING} "
        f"-gpu_memory_target {target:g} -overwrite_plans_name {name}, then dd_train with -p {name}"
    )
    assert caplog.messages == [expected] * told


@pytest.mark.parametrize("available", [None, 1e-6, 100.0])
def test_on_cuda_it_is_the_memory_of_the_gpu(monkeypatch, caplog, available):
    free(monkeypatch, 0)
    monkeypatch.setattr(memory_error, "_available_gb", lambda: available)
    warn_of_memory(CONFIGURATION, runtime("cuda"), PLANNING)
    assert ["GB on the GPU, and 0.00 GB are free" in line for line in caplog.messages] == [True] * (
        available == 1e-6
    )


def test_the_command_warns_trains_nevertheless_and_is_silent_once_finished(tmp_path, monkeypatch, capsys):
    trainable = make_trainable(tmp_path, monkeypatch)
    free(monkeypatch, 1)
    said = (
        f"GB are free; it may run out of memory: end other programs, or run: {PLANNING} "
        "-gpu_memory_target 0.1 -overwrite_plans_name ddPlans_0.1GB, then dd_train with -p ddPlans_0.1GB"
    )
    assert trainable.train() == 0
    assert said in capsys.readouterr().out
    assert (trainable.fold / "diffusion" / "finished.json").exists()
    assert trainable.train() == 0
    assert said not in capsys.readouterr().out
