"""F77: a part that wins no voxel is warned of in its epoch, logged, seeded anew, and told on top of the report."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest
import torch
from small_dataset import make_trainable

sys.path.insert(0, str(Path(__file__).parent.parent / "report"))

from page_reader import PageReader

from dd_nnunet.commands import report
from dd_nnunet.training.train_segmenter import _SegmenterTrainer


@pytest.fixture
def trainable(tmp_path, monkeypatch):
    """Level 2 has four epochs, the first of them a warm start."""
    trainable = make_trainable(tmp_path, monkeypatch)
    trainable.write_plan(segmenter={"epochs": 4})
    return trainable


def train_with_shares(trainable, monkeypatch, shares_of_epochs):
    """Train level 2 as if its three parts had these shares after each epoch."""
    monitor = _SegmenterTrainer._monitor
    left = list(shares_of_epochs)

    def with_shares(trainer):
        (statistics,) = monitor(trainer)
        return (dataclasses.replace(statistics, shares=left.pop(0), effective_parts=1.2),)

    monkeypatch.setattr(_SegmenterTrainer, "_monitor", with_shares)
    assert trainable.train("-l", "2") == 0
    folder = trainable.fold / "level2"
    text = "".join(path.read_text() for path in folder.glob("training_log_*.txt"))
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()], text


def test_a_dead_part_is_told_once_and_seeded_until_it_lives(trainable, monkeypatch):
    alive, dead = (0.5, 0.3, 0.2), (1.0, 0.0, 0.0)
    log, text = train_with_shares(trainable, monkeypatch, [alive, dead, dead, alive])
    assert [entry["alive_parts"] for entry in log] == [3, 1, 1, 3]
    assert [entry["reseeded"] for entry in log] == [[], [], [1, 2], [1, 2]]
    assert [entry["cross_entropy"] is not None for entry in log] == [True, False, True, True]
    assert log[1]["effective_parts"] == 1.2
    warning = "WARNING level 2, epoch 1: only 1 of 3 parts are alive (1.2 effective ones); no voxels for output 1, 2"
    assert text.count(warning) == text.count("are alive (") == 1
    assert "COLLAPSED" not in text


def test_a_collapsed_level_says_so_at_its_end_and_in_the_report(trainable, monkeypatch, tmp_path):
    _, text = train_with_shares(trainable, monkeypatch, [(0.9, 0.1, 0.0)] * 4)
    assert "WARNING level 2 COLLAPSED: only 2 of 3 parts are alive" in text
    finished = json.loads((trainable.fold / "level2" / "finished.json").read_text())
    assert finished["collapsed"] is True and finished["alive_parts"] == 2
    page = tmp_path / "report.html"
    assert report.main(["-d", "7", "-f", "all", "-o", str(page), *trainable.flags]) == 0
    shown = PageReader(page.read_text(encoding="utf-8")).text
    assert (
        "Level 2 has collapsed: only 2 of 3 planned parts are alive (win at least 2 in 10 000 voxels" in shown
    )


def test_a_network_that_puts_all_into_one_part_is_found_by_its_own_voxels(trainable, monkeypatch):
    logits = _SegmenterTrainer._logits

    def collapsed(self, image, mirrored):
        return logits(self, image, mirrored) + torch.tensor([100.0, 0.0, 0.0]).reshape(1, 3, 1, 1, 1)

    monkeypatch.setattr(_SegmenterTrainer, "_logits", collapsed)
    assert trainable.train("-q", "-l", "2") == 0
    folder = trainable.fold / "level2"
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [entry["alive_parts"] for entry in log] == [1] * 4
    # exp of the entropy of the shares 1, 0, 0
    assert [entry["effective_parts"] for entry in log] == [1.0] * 4
    text = "".join(path.read_text() for path in folder.glob("training_log_*.txt"))
    assert "only 1 of 3 parts are alive (1.0 effective ones); no voxels for output 1, 2" in text
    assert "COLLAPSED" in text
