"""Levels that start from objects: which labels they learn, and what they leave alone."""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from small_fold import CASES, CONFIGURATION, make_setup, train_diffusion, train_level

from dd_nnunet.core.plan import LevelGroup, ObjectPlan
from dd_nnunet.networks.checkpoint import load_checkpoint
from dd_nnunet.regions.nested_parts import nested_parts
from dd_nnunet.training import train_segmenter as segmenter_module
from dd_nnunet.training.feature_cache import FeatureCache
from dd_nnunet.training.level_batches import LevelTargets
from dd_nnunet.training.pretrain_diffusion import load_diffusion

OBJECTS = ObjectPlan((2, 3), (4.0, 2.0), 3.0)


def setup_with(folder: Path, objects: ObjectPlan | None = OBJECTS, **kwargs):
    configuration = dataclasses.replace(CONFIGURATION, objects=objects)
    return dataclasses.replace(make_setup(folder, **kwargs), configuration=configuration)


def test_labels_are_the_objects_mirrored_into_the_padding(tmp_path: Path) -> None:
    shapes = ((16, 16, 16), (12, 20, 16), (16, 16, 18), (9, 13, 16), (16, 16, 16), (16, 16, 16))
    setup = setup_with(tmp_path / "prepared", shapes=shapes)
    train_diffusion(setup, tmp_path)
    checkpoint = tmp_path / "diffusion" / "checkpoint_final.pth"
    cache = FeatureCache(tmp_path / "features", setup, (1,))
    cache.build(checkpoint, load_diffusion(setup.configuration, 1, checkpoint, setup.runtime))
    targets = LevelTargets(cache, setup.configuration.levels[1], None, torch.device("cpu"))
    labels = targets.pseudo_labels({"case_ids": [CASES[3]], "starts_zyx": [(0, 0, 0)]})[0].numpy()
    box = setup.reader.box(CASES[3])
    image = setup.reader.image(CASES[3])[0]
    expected = nested_parts(image[box], OBJECTS, (1.0, 1.0, 1.0))[1]
    assert expected.shape == (9, 13, 16) and expected.any()
    np.testing.assert_array_equal(labels[box], expected)
    # the last slice of the volume and the first one behind it are mirror images
    stop = box[0].stop
    np.testing.assert_array_equal(labels[stop], labels[stop - 1])


def test_a_changed_plan_finds_the_objects_anew(tmp_path: Path) -> None:
    setup = setup_with(tmp_path / "prepared")
    train_diffusion(setup, tmp_path)
    checkpoint = tmp_path / "diffusion" / "checkpoint_final.pth"
    network = load_diffusion(setup.configuration, 1, checkpoint, setup.runtime)
    # nothing is as large as a ball of 12 mm
    for smallest, found in ((4.0, True), (12.0, False)):
        other = setup_with(tmp_path / "prepared", ObjectPlan((2,), (smallest,), 3.0))
        cache = FeatureCache(tmp_path / "features", other, (1,))
        cache.build(checkpoint, network)
        assert cache.object_parts(CASES[0], 1).any() == found


def test_training_from_objects(tmp_path: Path) -> None:
    setup = setup_with(tmp_path / "prepared")
    train_diffusion(setup, tmp_path)
    for level in setup.configuration.levels:
        train_level(setup, tmp_path, level)
        content = load_checkpoint(tmp_path / f"level{level.level}" / "checkpoint_final.pth")
        # the numbers of objects mean something: they stay
        assert content["order"] == list(range(level.n_parts))
        trainer = segmenter_module._SegmenterTrainer(
            setup, LevelGroup((level,)), FeatureCache(tmp_path, setup, (1,))
        )
        (objective,) = trainer.objectives
        assert objective.anchor_weight == 3.0
        objective.dead_parts = (1,)
        assert objective.parts_to_seed == ()


def test_other_levels_start_from_kmeans(tmp_path: Path) -> None:
    setup = setup_with(tmp_path / "prepared", ObjectPlan((2,), (4.0,), 3.0))
    assert [setup.configuration.starts_from_objects(level) for level in setup.configuration.levels] == [
        True,
        False,
    ]
    trainer = segmenter_module._SegmenterTrainer(
        setup, setup.configuration.groups[1], FeatureCache(tmp_path, setup, (1,))
    )
    (objective,) = trainer.objectives
    assert objective.anchor_weight == setup.configuration.segmenter.anchor_weight
    objective.dead_parts = (1,)
    assert objective.parts_to_seed == (1,)
