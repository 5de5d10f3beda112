"""A fold trained end to end: losses fall, resuming changes no bit, labels are not there."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from training.toy_fold import CONFIGURATION, make_setup

from dd_nnunet.core.plan import LevelPlan
from dd_nnunet.networks.checkpoint import load_checkpoint
from dd_nnunet.networks.trained_segmenter import load_segmenter
from dd_nnunet.storage.run_folder import open_run_folder
from dd_nnunet.training import pretrain_diffusion as diffusion_module
from dd_nnunet.training import train_segmenter as segmenter_module
from dd_nnunet.training.feature_cache import FeatureCache
from dd_nnunet.training.pretrain_diffusion import TrainingSetup, pretrain_diffusion
from dd_nnunet.training.train_segmenter import LevelResult, train_segmenter


class KilledError(Exception):
    pass


def train_diffusion(setup: TrainingSetup, fold: Path) -> torch.nn.Module:
    with open_run_folder(fold / "diffusion", {"seed": setup.seed}) as run:
        return pretrain_diffusion(setup, run)


def train_level(setup: TrainingSetup, fold: Path, level: LevelPlan) -> LevelResult:
    checkpoint = fold / "diffusion" / "checkpoint_final.pth"
    network = diffusion_module.load_diffusion(setup.configuration, 1, checkpoint, setup.runtime)
    cache = FeatureCache(fold / "features", setup, (1, 2))
    cache.build(checkpoint, network)
    with open_run_folder(fold / f"level{level.level}", {"seed": setup.seed}) as run:
        return train_segmenter(setup, level, cache, run)


def weights(path: Path) -> dict[str, torch.Tensor]:
    content: dict[str, torch.Tensor] = load_checkpoint(path)["network"]
    return content


def assert_same_weights(a: Path, b: Path) -> None:
    first, second = weights(a), weights(b)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained")
    setup = make_setup(root / "prepared")
    train_diffusion(setup, root / "fold_0")
    for level in CONFIGURATION.levels:
        train_level(setup, root / "fold_0", level)
    return root


def test_files_of_a_finished_fold(trained: Path) -> None:
    for name in ("diffusion", "level1", "level2"):
        files = {path.name for path in (trained / "fold_0" / name).iterdir()}
        assert {"checkpoint_final.pth", "checkpoint_final.pth.sha256", "checkpoint_latest.pth"} <= files
        assert {"checkpoint_best.pth", "progress.png", "log.jsonl", "debug.json"} <= files


def test_diffusion_killed_and_resumed_gives_the_same_bits(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = make_setup(trained / "prepared")
    step = diffusion_module._State.step

    def dying(state: Any, data: Any) -> float:
        if state.iteration == 2:
            raise KilledError
        return step(state, data)

    monkeypatch.setattr(diffusion_module._State, "step", dying)
    with pytest.raises(KilledError):
        train_diffusion(setup, tmp_path)
    monkeypatch.setattr(diffusion_module._State, "step", step)
    train_diffusion(setup, tmp_path)
    for name in ("checkpoint_final.pth", "checkpoint_latest.pth"):
        assert_same_weights(tmp_path / "diffusion" / name, trained / "fold_0" / "diffusion" / name)


def test_level_killed_and_resumed_gives_the_same_bits(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = make_setup(trained / "prepared")
    train_diffusion(setup, tmp_path)
    train_epoch = segmenter_module._LevelTrainer.train_epoch

    def dying(trainer: Any, batches: Any) -> dict[str, Any]:
        if trainer.epoch == 3:
            raise KilledError
        return train_epoch(trainer, batches)

    monkeypatch.setattr(segmenter_module._LevelTrainer, "train_epoch", dying)
    with pytest.raises(KilledError):
        train_level(setup, tmp_path, CONFIGURATION.levels[1])
    monkeypatch.setattr(segmenter_module._LevelTrainer, "train_epoch", train_epoch)
    train_level(setup, tmp_path, CONFIGURATION.levels[1])
    for name in ("checkpoint_final.pth", "checkpoint_latest.pth"):
        assert_same_weights(tmp_path / "level2" / name, trained / "fold_0" / "level2" / name)
    logs = [
        (root / "level2" / "log.jsonl").read_text().splitlines() for root in (tmp_path, trained / "fold_0")
    ]
    assert len(logs[0]) == len(logs[1]) == CONFIGURATION.segmenter.epochs


def test_another_seed_gives_other_weights(trained: Path, tmp_path: Path) -> None:
    train_diffusion(make_setup(trained / "prepared", seed=1), tmp_path)
    first = weights(trained / "fold_0" / "diffusion" / "checkpoint_final.pth")
    second = weights(tmp_path / "diffusion" / "checkpoint_final.pth")
    assert not torch.equal(first["stem.weight"], second["stem.weight"])


def test_parts_come_in_canonical_order(trained: Path) -> None:
    level = CONFIGURATION.levels[0]
    path = trained / "fold_0" / "level1" / "checkpoint_final.pth"
    content = load_checkpoint(path)
    network = load_segmenter(CONFIGURATION.segmenter, 1, level, path)
    x = torch.rand(1, 1, 16, 16, 16)
    assert torch.equal(network(x), network.network(x)[:, content["order"]])
    background = max(range(2), key=lambda k: content["border_shares"][k])
    assert content["order"][0] == background


def test_volumes_of_many_sizes_train_together(tmp_path: Path) -> None:
    """Smaller and larger than the patch of 16³, in batches of two; the borders of whole volumes are seen."""
    shapes = ((16, 16, 16), (12, 20, 16), (24, 16, 18), (9, 13, 30), (16, 16, 16), (40, 16, 16))
    setup = make_setup(tmp_path / "prepared", shapes=shapes)
    train_diffusion(setup, tmp_path)
    for level in CONFIGURATION.levels:
        train_level(setup, tmp_path, level)
    trainer = segmenter_module._LevelTrainer(
        setup, CONFIGURATION.levels[0], FeatureCache(tmp_path / "features", setup, (1,))
    )
    owner, largest = trainer._divide(
        torch.from_numpy(setup.reader.image("ball_3")), [(0, 0, 0), (0, 0, 14)], setup.reader.box("ball_3")
    )
    assert owner.shape == largest.shape == (9, 13, 30)
    assert float(largest.min()) >= 0.5


def test_an_anchor_keeps_the_pseudo_labels_beside_the_losses(trained: Path, tmp_path: Path) -> None:
    setup = make_setup(trained / "prepared")
    segmenter = dataclasses.replace(CONFIGURATION.segmenter, anchor_weight=0.5)
    anchored = dataclasses.replace(
        setup, configuration=dataclasses.replace(CONFIGURATION, segmenter=segmenter)
    )
    train_diffusion(anchored, tmp_path)
    train_level(anchored, tmp_path, CONFIGURATION.levels[1])
    for root, beside in ((tmp_path, True), (trained / "fold_0", False)):
        with open_run_folder(root / "level2", {"seed": 0}) as run:
            last = run.read_log()[-1]
        assert last["phase"] == "discovery"
        assert (last["cross_entropy"] is not None) == beside


def test_a_dead_part_is_seeded_again(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = segmenter_module._LevelTrainer._monitor

    def with_a_dead_part(trainer: Any) -> Any:
        statistics = monitor(trainer)
        return dataclasses.replace(statistics, shares=(1.0, 0.0, 0.0)) if trainer.epoch == 2 else statistics

    monkeypatch.setattr(segmenter_module._LevelTrainer, "_monitor", with_a_dead_part)
    setup = make_setup(trained / "prepared")
    train_diffusion(setup, tmp_path)
    train_level(setup, tmp_path, CONFIGURATION.levels[1])
    with open_run_folder(tmp_path / "level2", {"seed": 0}) as run:
        log = run.read_log()
    assert log[2]["alive_parts"] == 1
    assert log[3]["reseeded"] == [1, 2]
    assert log[3]["cross_entropy"] is not None


def test_a_collapsed_level_says_so(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = segmenter_module._LevelTrainer._monitor

    def collapsed(trainer: Any) -> Any:
        return dataclasses.replace(monitor(trainer), shares=(0.9, 0.1, 0.0))

    monkeypatch.setattr(segmenter_module._LevelTrainer, "_monitor", collapsed)
    setup = make_setup(trained / "prepared")
    train_diffusion(setup, tmp_path)
    result = train_level(setup, tmp_path, CONFIGURATION.levels[1])
    assert result.collapsed
    assert result.statistics.alive_parts == 2
    text = "".join(path.read_text() for path in (tmp_path / "level2").glob("training_log_*.txt"))
    assert "COLLAPSED: only 2 of 3 parts are alive" in text
