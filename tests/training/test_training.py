"""A fold trained end to end: what is written, what changes the weights and what does not."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from small_fold import CONFIGURATION, make_setup, train_diffusion, train_level
from trained_fold import assert_same_weights, load_weights_of

from dd_nnunet.core.plan import LevelGroup
from dd_nnunet.networks.checkpoint import load_checkpoint
from dd_nnunet.networks.trained_segmenter import load_segmenter
from dd_nnunet.storage.run_folder import open_run_folder
from dd_nnunet.training import train_segmenter as segmenter_module
from dd_nnunet.training.feature_cache import FeatureCache

FINAL = "checkpoint_final.pth"


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


def test_another_seed_gives_other_weights(trained: Path, tmp_path: Path) -> None:
    train_diffusion(make_setup(trained / "prepared", seed=1), tmp_path)
    first = load_weights_of(trained / "fold_0" / "diffusion" / "checkpoint_final.pth")
    second = load_weights_of(tmp_path / "diffusion" / "checkpoint_final.pth")
    assert not torch.equal(first["stem.weight"], second["stem.weight"])


def test_parts_come_in_canonical_order(trained: Path) -> None:
    level = CONFIGURATION.levels[0]
    path = trained / "fold_0" / "level1" / "checkpoint_final.pth"
    content = load_checkpoint(path)
    network = load_segmenter(CONFIGURATION.segmenter, 1, LevelGroup((level,)), path)
    x = torch.rand(1, 1, 16, 16, 16)
    assert torch.equal(network(x), network.network(x)[:, content["order"]])
    background = max(range(2), key=lambda k: content["levels"][0]["border_shares"][k])
    assert content["order"][0] == background


def test_volumes_of_many_sizes_train_together(tmp_path: Path) -> None:
    """Smaller and larger than the patch of 16³, in batches of two; the borders of whole volumes are seen."""
    shapes = ((16, 16, 16), (12, 20, 16), (24, 16, 18), (9, 13, 30), (16, 16, 16), (40, 16, 16))
    setup = make_setup(tmp_path / "prepared", shapes=shapes)
    train_diffusion(setup, tmp_path)
    for level in CONFIGURATION.levels:
        train_level(setup, tmp_path, level)
    trainer = segmenter_module._SegmenterTrainer(
        setup, CONFIGURATION.groups[0], FeatureCache(tmp_path / "features", setup, (1,))
    )
    trainer.network.eval()
    image = torch.from_numpy(setup.reader.image("ball_3"))
    owner, largest = trainer.monitor.divide(lambda patches: trainer._logits(patches, []), image)
    assert owner.shape == largest.shape == (1, *image.shape[1:])
    assert [len(range(*side.indices(99))) for side in setup.reader.box("ball_3")] == [9, 13, 30]
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


def test_the_photometric_twin_is_seen_in_every_so_manieth_step_only(trained: Path, tmp_path: Path) -> None:
    setup = make_setup(trained / "prepared")
    segmenter = dataclasses.replace(CONFIGURATION.segmenter, invariance_interval=2)
    setup = dataclasses.replace(setup, configuration=dataclasses.replace(CONFIGURATION, segmenter=segmenter))
    train_diffusion(setup, tmp_path)
    group = CONFIGURATION.groups[1]
    train_level(setup, tmp_path, group.levels[0])
    cache = FeatureCache(tmp_path / "features", setup, (1, 2))
    trainer = segmenter_module._SegmenterTrainer(setup, group, cache)
    seen: list[int] = []
    trainer.network.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    first = segmenter.warm_start_epochs * segmenter.iterations_per_epoch
    batches = trainer.batches(first)
    invariances = [float(trainer.loss(next(batches))[1]["invariance"]) for _ in range(4)]
    batches.close()
    asked = [(first + step) % 2 == 0 for step in range(4)]
    assert seen == [segmenter.batch_size * (2 if twin else 1) for twin in asked]
    assert [value > 0 for value in invariances] == asked


def test_what_resumes_behind_the_warm_start_fits_none_and_ends_alike(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup, level = make_setup(trained / "prepared"), CONFIGURATION.levels[1]
    train_diffusion(setup, tmp_path)
    end_epoch = segmenter_module._SegmenterTrainer.end_epoch

    def fail_in_the_third(trainer: Any, epoch: int, *rest: Any) -> Any:
        if epoch == 2:  # the warm start's are 0 and 1, saved before this
            raise InterruptedError
        return end_epoch(trainer, epoch, *rest)

    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(segmenter_module._SegmenterTrainer, "end_epoch", fail_in_the_third)
        train_level(setup, tmp_path, level)
    monkeypatch.setattr(segmenter_module, "WarmStart", None)
    train_level(setup, tmp_path, level)
    assert_same_weights(tmp_path / "level2" / FINAL, trained / "fold_0" / "level2" / FINAL)
