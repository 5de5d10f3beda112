"""F65: a NaN loss skips its step; 20 in a row lead back to the saved state once; then an error names the cases."""

import json
import math
import os
import signal

import pytest
import torch
from small_dataset import make_trainable
from trained_fold import saved_iteration

from dd_nnunet.networks.checkpoint import load_checkpoint
from dd_nnunet.training import loss_guard
from dd_nnunet.training.pretrain_diffusion import _DiffusionTrainer


@pytest.fixture
def trainable(tmp_path, monkeypatch):
    """Sixteen steps of diffusion, in epochs of eight; patience for five bad losses."""
    trainable = make_trainable(tmp_path, monkeypatch)
    trainable.write_plan(diffusion={"iterations": 16})
    monkeypatch.setattr(loss_guard, "MOST_IN_A_ROW", 5)
    return trainable


def train(trainable, monkeypatch, spoil):
    """Train with losses put through spoil(iteration, loss); the learning rate and stem of each step."""
    seen = {}
    loss = _DiffusionTrainer.loss

    def spoiled(self, batch):
        value, _ = loss(self, batch)
        rate = self.optimizer.param_groups[0]["lr"]
        seen[batch["iteration"]] = (rate, self.network.stem.weight.detach().clone())
        value = spoil(batch["iteration"], value)
        return value, {"loss": value.detach()}

    monkeypatch.setattr(_DiffusionTrainer, "loss", spoiled)
    code = trainable.train("--stage", "diffusion")
    monkeypatch.setattr(_DiffusionTrainer, "loss", loss)
    return code, seen


def log_lines(trainable):
    return [
        json.loads(line) for line in (trainable.fold / "diffusion" / "log.jsonl").read_text().splitlines()
    ]


def test_a_bad_step_is_skipped(trainable, monkeypatch, capsys):
    code, seen = train(trainable, monkeypatch, lambda i, loss: loss * (math.nan if i == 4 else 1))
    assert code == 0
    weights = {i: stem for i, (_, stem) in seen.items()}
    assert torch.equal(weights[4], weights[5])  # step 4 changed nothing
    assert not torch.equal(weights[5], weights[6])
    assert [entry["skipped_steps"] for entry in log_lines(trainable)] == [1, 0]
    assert all(math.isfinite(entry["loss"]) for entry in log_lines(trainable))
    assert "iteration 4 is skipped (loss nan, gradient_norm nan); cases: " in capsys.readouterr().out


def test_a_finite_loss_with_an_infinite_gradient_is_skipped(trainable, monkeypatch, capsys):
    # the square root has an infinite slope at 0: the value stays as it was
    code, seen = train(
        trainable, monkeypatch, lambda i, loss: loss + (loss - loss).sqrt() if i == 4 else loss
    )
    assert code == 0
    assert torch.equal(seen[4][1], seen[5][1])
    assert "gradient_norm nan" in capsys.readouterr().out
    assert all(torch.isfinite(w).all() for w in final_weights(trainable).values())


def final_weights(trainable):
    return load_checkpoint(trainable.fold / "diffusion" / "checkpoint_final.pth")["network"]


def test_too_many_in_a_row_lead_back_to_the_saved_state_with_a_lower_rate(trainable, monkeypatch, capsys):
    bad = range(10, 15)
    code, seen = train(trainable, monkeypatch, lambda i, loss: loss * (math.inf if i in bad else 1))
    assert code == 0
    other = trainable.with_results(trainable.root / "again")
    _, healthy = train(other, monkeypatch, lambda i, loss: loss)
    for i in range(10):
        assert torch.equal(seen[i][1], healthy[i][1]) and seen[i][0] == healthy[i][0]
    assert torch.equal(seen[14][1], healthy[10][1])  # nothing was learnt since
    assert torch.equal(seen[15][1], healthy[8][1])  # the state after the first epoch, the last saved
    assert seen[15][0] == pytest.approx(healthy[15][0] / 10)
    assert "back to the saved weights, learning rate times 0.1" in capsys.readouterr().out
    assert log_lines(trainable)[1]["skipped_steps"] == 5


def test_bad_losses_from_the_start_lead_back_to_the_first_weights(trainable, monkeypatch):
    code, seen = train(trainable, monkeypatch, lambda i, loss: loss * (math.nan if 2 <= i < 7 else 1))
    assert code == 0
    assert torch.equal(seen[7][1], seen[0][1])
    assert not torch.equal(seen[6][1], seen[0][1])


def test_as_many_again_are_an_error_that_names_the_cases(trainable, monkeypatch, capsys):
    code, seen = train(trainable, monkeypatch, lambda i, loss: loss * (math.nan if i >= 3 else 1))
    assert code == 2
    assert max(seen) == 3 + 5 + 5 - 1
    path = trainable.fold / "diffusion" / "bad_batches.json"
    batches = json.loads(path.read_text())
    assert [batch["iteration"] for batch in batches] == list(range(8, 13))
    assert batches[-1]["loss"] is None
    assert set(batches[-1]) == {"iteration", "case_ids", "starts_zyx", "loss", "gradient_norm"}
    (case,) = batches[-1]["case_ids"]
    error = capsys.readouterr().err
    assert error.startswith(
        f"dd_train: error: {path}: the loss was no number 5 times in a row, also with a lower"
    )
    assert f"the last time at iteration 12 with cases {case}; look at these cases" in error
    assert error.count("\n") == 1
    assert not (trainable.fold / "diffusion" / "checkpoint_final.pth").exists()


def test_a_stop_among_bad_losses_keeps_the_state_before_them(trainable, monkeypatch):
    """And continuing comes to the same end as not having stopped."""
    bad = range(10, 15)

    def spoil(i, loss):
        return loss * (math.nan if i in bad else 1)

    code, _ = train(trainable, monkeypatch, spoil)
    assert code == 0

    def interrupted(i, loss):
        if i == 13:
            os.kill(os.getpid(), signal.SIGTERM)
        return spoil(i, loss)

    other = trainable.with_results(trainable.root / "again")
    assert train(other, monkeypatch, interrupted)[0] == 75
    assert saved_iteration(other.fold / "diffusion") == 8
    assert train(other, monkeypatch, spoil)[0] == 0
    first, second = final_weights(trainable), final_weights(other)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_twenty_are_too_many():
    assert loss_guard.MOST_IN_A_ROW == 20
