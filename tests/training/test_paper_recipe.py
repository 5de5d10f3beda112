"""What the paper's recipe and the departures of its released code change in training."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_fold import CASES, CONFIGURATION, make_setup, train_diffusion, train_level
from trained_fold import assert_same_weights

from dd_nnunet.networks.segmentation_unet import ResizedInside
from dd_nnunet.objectives.upsampling import spread
from dd_nnunet.prediction.predict_case import PredictionSettings
from dd_nnunet.training.case_reader import CaseReader
from dd_nnunet.training.feature_cache import FeatureCache
from dd_nnunet.training.level_batches import LevelTargets
from dd_nnunet.training.pretrain_diffusion import _DiffusionTrainer, load_diffusion
from dd_nnunet.training.selection import PartStatistics, selection_rank
from dd_nnunet.training.setup import TrainingSetup
from dd_nnunet.training.train_segmenter import _SegmenterTrainer

GRID = (8, 8, 8)
# prepared shapes that need padding to a patch of 16³
SHAPES = ((12, 16, 14),) * 6
FEATURES = dataclasses.replace(CONFIGURATION.features, visual_target="image")


def setup_with(
    folder: Path,
    diffusion: dict[str, Any] | None = None,
    segmenter: dict[str, Any] | None = None,
    **kwargs: Any,
) -> TrainingSetup:
    """The toy fold with another plan."""
    setup = make_setup(folder, **kwargs)
    configuration = dataclasses.replace(
        CONFIGURATION,
        features=FEATURES,
        diffusion=dataclasses.replace(CONFIGURATION.diffusion, **(diffusion or {})),
        segmenter=dataclasses.replace(CONFIGURATION.segmenter, **(segmenter or {})),
    )
    reader = CaseReader(folder, configuration)
    return dataclasses.replace(setup, configuration=configuration, reader=reader)


def test_a_volume_is_resized_without_its_padding(tmp_path: Path) -> None:
    setup = setup_with(tmp_path / "prepared", {"grid_zyx": GRID}, shapes=SHAPES)
    volume = setup.reader.image(CASES[0])[(slice(None), *setup.reader.box(CASES[0]))]
    assert volume.shape == (1, *SHAPES[0])
    expected = torch.nn.functional.interpolate(torch.from_numpy(volume)[None], size=GRID, mode="trilinear")[0]
    np.testing.assert_allclose(setup.reader.diffusion_image(CASES[0]), expected.numpy(), atol=1e-6)


def test_without_a_grid_the_diffusion_model_sees_the_padded_volume(tmp_path: Path) -> None:
    reader = make_setup(tmp_path / "prepared", shapes=SHAPES).reader
    assert reader.diffusion_image(CASES[0]) is reader.image(CASES[0])


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("resized", [False, True])
def test_features_are_interpolated_over_the_volume(tmp_path: Path, resized: bool, corners: bool) -> None:
    setup = setup_with(
        tmp_path / "prepared",
        {"grid_zyx": GRID if resized else None},
        {"feature_grid": "corners" if corners else "centres"},
        shapes=SHAPES,
    )
    train_diffusion(setup, tmp_path / "fold")
    cache = FeatureCache(tmp_path / "fold" / "features", setup, (1, 2))
    checkpoint = tmp_path / "fold" / "diffusion" / "checkpoint_final.pth"
    cache.build(checkpoint, load_diffusion(setup.configuration, 1, checkpoint, setup.runtime))
    level = setup.configuration.levels[0]
    targets = LevelTargets(cache, level, None, torch.device("cpu"))
    cells = torch.from_numpy(cache.features(CASES[0], 1))[None]
    # the one patch of 16³ is the padded volume; a resized volume has no padding
    assert tuple(cells.shape[2:]) == ((4, 4, 4) if resized else (8, 8, 8))
    box = setup.reader.box(CASES[0]) if resized else (slice(0, 16),) * 3
    size = [axis.stop - axis.start for axis in box]
    expected = torch.nn.functional.interpolate(cells, size=size, mode="trilinear", align_corners=corners)
    (h,) = targets.features({"case_ids": [CASES[0]], "starts_zyx": [(0, 0, 0)]})
    assert h.matrices is not None
    raised = spread(cells, h.matrices)
    np.testing.assert_allclose(raised[(..., *box)].numpy(), expected.numpy(), atol=1e-4)
    # the padding has the value of the voxel next to it
    assert torch.allclose(raised[:, :, :, :, -1], raised[:, :, :, :, box[2].stop - 1])


def test_a_plain_recipe_is_adam_at_one_rate(tmp_path: Path) -> None:
    setup = setup_with(
        tmp_path / "prepared", {"recipe": "plain"}, {"recipe": "plain", "warm_start_epochs": 0}
    )
    cache = FeatureCache(tmp_path / "features", setup, (1,))
    trainers = (_DiffusionTrainer(setup), _SegmenterTrainer(setup, setup.configuration.groups[0], cache))
    for trainer, rate in zip(trainers, (1e-3, 1e-2), strict=True):
        assert {trainer.learning_rate(i) for i in range(trainer.n_iterations)} == {rate}
        assert trainer.max_gradient_norm == math.inf
        batch = next(trainer.batches(0))
        for case_id, patch in zip(batch["case_ids"], batch["data"], strict=True):
            np.testing.assert_array_equal(patch, setup.reader.image(case_id))


def test_without_averaging_the_kept_weights_are_the_last_ones(tmp_path: Path) -> None:
    trainer = _DiffusionTrainer(setup_with(tmp_path / "prepared", {"ema_decay": 0.0}))
    for step in range(3):
        with torch.no_grad():
            for parameter in trainer.network.parameters():
                parameter.add_(0.1 * step)
        trainer.after_step()
    for kept, last in zip(trainer.ema.module.parameters(), trainer.network.parameters(), strict=True):
        assert torch.equal(kept, last)


def test_a_plain_recipe_neither_seeds_dead_parts_nor_mirrors_predictions(tmp_path: Path) -> None:
    setup = setup_with(tmp_path / "prepared", segmenter={"recipe": "plain", "warm_start_epochs": 0})
    trainer = _SegmenterTrainer(
        setup, setup.configuration.groups[1], FeatureCache(tmp_path / "features", setup, (1,))
    )
    (objective,) = trainer.objectives
    objective.dead_parts = (2,)
    assert objective._anchor({}, torch.zeros(1), None) == (0.0, None)  # type: ignore[arg-type]
    assert not PredictionSettings(setup.configuration, setup.runtime).mirrors
    assert PredictionSettings(CONFIGURATION, setup.runtime).mirrors


def test_the_paper_keeps_the_most_certain_epoch_of_all_cases(tmp_path: Path) -> None:
    collapsed = PartStatistics((1.0, 0.0), 0.99, 1.0, (1.0, 0.0))
    alive = PartStatistics((0.5, 0.5), 0.8, 2.0, (1.0, 0.0))
    assert selection_rank([collapsed], "discovery", "certain") > selection_rank(
        [alive], "discovery", "certain"
    )
    assert selection_rank([collapsed], "discovery") < selection_rank([alive], "discovery")
    setup = setup_with(tmp_path / "prepared", segmenter={"kept_epoch": "certain"})
    many = dataclasses.replace(setup.fold, train=CASES[:4] * 10)
    trainer = _SegmenterTrainer(
        dataclasses.replace(setup, fold=many),
        setup.configuration.groups[0],
        FeatureCache(tmp_path, setup, (1,)),
    )
    assert len(trainer.monitor.cases) == 40


def test_dropout_and_batch_statistics_are_repeatable(tmp_path: Path) -> None:
    released = {
        "inner_multiple": 6, "norm": "batch", "dropout": 0.5, "epochs": 1, "warm_start_epochs": 0, "recipe": "plain",
    }  # fmt: skip
    for number, run in enumerate(("a", "b")):
        setup = setup_with(tmp_path / "prepared", {"grid_zyx": GRID}, released)
        assert isinstance(
            _SegmenterTrainer(
                setup, setup.configuration.groups[0], FeatureCache(tmp_path, setup, (1,))
            ).network,
            ResizedInside,
        )
        train_diffusion(setup, tmp_path / run)
        torch.manual_seed(number)
        train_level(setup, tmp_path / run, setup.configuration.levels[0])
    first, second = (tmp_path / run / "level1" / "checkpoint_final.pth" for run in ("a", "b"))
    assert_same_weights(first, second)
