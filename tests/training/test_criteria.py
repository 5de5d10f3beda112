from dataclasses import replace

import numpy as np
import pytest
import torch
from small_fold import CONFIGURATION, make_setup, train_diffusion, train_level

from dd_nnunet.core.plan import LevelGroup, LevelPlan
from dd_nnunet.networks.checkpoint import load_checkpoint
from dd_nnunet.objectives.consistency import consistency, represent_voxels
from dd_nnunet.regions.contrast import boundary_contrast
from dd_nnunet.training.criteria import (
    Criteria,
    agreement,
    explained_share,
    explained_share_of_cells,
)
from dd_nnunet.training.monitor import Monitor, patches_per_epoch, spread


def test_explained_share_by_hand():
    # values 0 2 | 6 8: mean 4, total 16+4+4+16 = 40; within halves 1+1+1+1 = 4
    values = np.array([0.0, 2, 6, 8]).reshape(1, 1, 1, 4)
    halves = np.array([0, 0, 1, 1]).reshape(1, 1, 4)
    assert explained_share(halves, values, 2) == pytest.approx(0.9)
    # a part without voxels changes nothing, one part explains nothing, constants have nothing to explain
    assert explained_share(halves, values, 3) == pytest.approx(0.9)
    assert explained_share(0 * halves, values, 2) == 0
    assert explained_share(halves, 0 * values + 7, 2) == 0


def test_it_is_one_minus_equation_5_over_the_variance():
    random = np.random.default_rng(0)
    values, labels = random.random((3, 4, 5, 6)), random.integers(0, 3, (4, 5, 6))
    within = 0.0
    for part in range(3):
        for z, y, x in np.argwhere(labels == part):
            centre = values[:, labels == part].mean(axis=1)
            within += ((values[:, z, y, x] - centre) ** 2).sum()
    total = ((values - values.mean(axis=(1, 2, 3), keepdims=True)) ** 2).sum()
    assert explained_share(labels, values, 3) == pytest.approx(1 - within / total)
    masks = torch.from_numpy(np.equal(labels, np.arange(3)[:, None, None, None])[None]).double()
    exact = consistency(masks, represent_voxels(torch.from_numpy(values)[None]), scale_free=True)
    assert explained_share(labels, values, 3) == pytest.approx(1 - float(exact))


def test_cells_stand_for_all_of_their_voxels():
    random = np.random.default_rng(1)
    cells, labels = random.random((2, 2, 3, 2)), random.integers(0, 3, (4, 6, 8))
    cell_of = (np.arange(4) // 2, np.arange(6) // 2, np.arange(8) // 4)
    spread = cells[:, cell_of[0]][:, :, cell_of[1]][..., cell_of[2]]
    assert explained_share_of_cells(labels, cells, cell_of, 3) == pytest.approx(
        explained_share(labels, spread, 3)
    )
    # of a part of the volume, cells that are cut count for what is seen of them
    seen = (slice(1, 4), slice(0, 5), slice(2, 8))
    cut = [of_axis[side] for of_axis, side in zip(cell_of, seen, strict=True)]
    expected = explained_share(labels[seen], spread[(slice(None), *seen)], 3)
    assert explained_share_of_cells(labels[seen], cells, cut, 3) == pytest.approx(expected)


def test_boundary_contrast_by_hand():
    # steps 1 1 4 1 1 along x, and none along the other axes
    values = np.array([0.0, 1, 2, 6, 7, 8]).reshape(1, 1, 1, 6)
    at_the_step = np.array([0, 0, 0, 1, 1, 1]).reshape(1, 1, 6)
    assert boundary_contrast(at_the_step, values) == pytest.approx(4 / (8 / 5))
    beside_it = np.array([0, 1, 1, 1, 1, 1]).reshape(1, 1, 6)
    assert boundary_contrast(beside_it, values) == pytest.approx(1 / (8 / 5))
    assert boundary_contrast(0 * beside_it, values) == 0
    # of two channels a step is their distance
    assert boundary_contrast(at_the_step, np.concatenate([3 * values, 4 * values])) == pytest.approx(2.5)


def test_agreement_by_hand():
    first, second = np.array([0, 0, 1, 1, 2]), np.array([0, 0, 0, 1, 1])
    # Dice 4/5, 2/4, 0 of the parts; a fourth that neither has does not count
    assert agreement(first, second, 4) == pytest.approx((0.8 + 0.5 + 0) / 3)
    assert agreement(first, first, 3) == 1


def test_the_mean_over_volumes():
    found = Criteria.mean([Criteria(0.2, 0.4, 2.0, 1.0, 0.5), Criteria(0.4, 0.4, 4.0, 0.0, 0.5)])
    assert found == Criteria(pytest.approx(0.3), pytest.approx(0.4), 3.0, 0.5, 0.5)


def test_cells_of_a_padded_volume_and_of_a_resized_one(tmp_path):
    setup = make_setup(tmp_path / "cases")
    plain = Monitor(setup, CONFIGURATION.groups[0], _Cache(setup))
    box = (slice(2, 12),) * 3
    # stage 1 has cells of two voxels, counted from the padding's first voxel
    assert plain._cell_of(slice(3, 8), 0, 1, 8, box).tolist() == [1, 2, 2, 3, 3]
    diffusion = replace(CONFIGURATION.diffusion, grid_zyx=(8, 8, 8))
    features = replace(CONFIGURATION.features, visual_target="image")
    resized = replace_in(setup, diffusion=diffusion, features=features)
    monitor = Monitor(resized, CONFIGURATION.groups[0], _Cache(setup))
    # ten voxels without the padding, four cells
    assert monitor._cell_of(slice(2, 12), 0, 1, 4, box).tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]


def test_patches_after_an_epoch():
    # all cases of one patch and four three times; 16 cases at most; 64 patches at most, of one case at least
    assert patches_per_epoch(8, 1, sees_all=False) == 8 + 12
    assert patches_per_epoch(40, 1, sees_all=False) == 16 + 12
    assert patches_per_epoch(40, 8, sees_all=False) == 64 + 12
    assert patches_per_epoch(2, 100, sees_all=False) == 100 + 6
    assert patches_per_epoch(40, 8, sees_all=True) == 320 + 12
    assert spread("abcdefghij", 4) == tuple("aceg")


class _Cache:
    """Visual targets and features that are the image itself."""

    def __init__(self, setup):
        self.setup = setup

    def visual_target(self, case_id):
        return self.setup.reader.image(case_id)

    def features(self, case_id, stage):
        image = self.setup.reader.image(case_id)
        size = self.setup.configuration.diffusion.stage_reduction_zyx(stage)[0]
        z, y, x = (n // size for n in image.shape[1:])
        return image.reshape(1, z, size, y, size, x, size).mean(axis=(2, 4, 6))


def replace_in(setup, **changes):
    return replace(setup, configuration=replace(CONFIGURATION, **changes))


def by_threshold(patches):
    """Logits of two parts: dark and bright."""
    return torch.cat([0.4 - patches, patches - 0.4], dim=1) * 50


def by_side(patches):
    """Logits of two parts: the first half along x and the second."""
    side = torch.linspace(-1, 1, patches.shape[4]).expand_as(patches[:, :1])
    return torch.cat([-side, side], dim=1)


def test_a_division_that_follows_the_image_is_told_from_one_that_does_not(tmp_path):
    setup = make_setup(tmp_path / "cases")
    monitor = Monitor(setup, CONFIGURATION.groups[0], _Cache(setup))
    (along,), (aside,) = monitor.look(by_threshold), monitor.look(by_side)
    assert along.criteria.explained_visual > 0.8 > 0.3 > aside.criteria.explained_visual
    assert along.criteria.explained_features > 0.6 > 0.3 > aside.criteria.explained_features
    assert along.criteria.boundary_contrast > 3 > 1.5 > aside.criteria.boundary_contrast
    # a mirrored image is divided into the other halves, which no voxel shares
    assert along.criteria.mirror_agreement == 1
    assert aside.criteria.mirror_agreement == 0
    assert along.criteria.gamma_agreement > 0.9
    assert aside.criteria.gamma_agreement == 1
    assert sum(along.shares) == pytest.approx(1)


def test_criteria_of_levels_that_nest_and_of_a_thin_padded_volume(tmp_path):
    shapes = ((16, 16, 16), (3, 20, 16), (16, 16, 16), (16, 16, 16), (16, 16, 16), (16, 16, 16))
    setup = make_setup(tmp_path / "cases", shapes=shapes)
    levels = (LevelPlan(1, 2, (1,)), LevelPlan(2, 3, (2,)))
    group = LevelGroup(levels, ((0, 1, 1),))

    def network(patches):
        """The dark part, the bright one, and its darker and brighter half."""
        first = by_threshold(patches)
        return torch.cat([first, first[:, :1], 50 * (0.7 - patches), 50 * (patches - 0.7)], dim=1)

    coarse, fine = Monitor(setup, group, _Cache(setup)).look(network)
    assert 0 < coarse.criteria.explained_visual < fine.criteria.explained_visual <= 1
    assert coarse.criteria.mirror_agreement == fine.criteria.mirror_agreement == 1
    assert fine.criteria.boundary_contrast > 1


def test_the_middle_of_a_few_volumes_is_divided_three_times(tmp_path):
    setup = make_setup(tmp_path / "cases")
    many = replace(setup, fold=replace(setup.fold, train=setup.fold.train * 2))
    divided = []

    def counting(patches):
        divided.append(len(patches))
        return by_side(patches)

    Monitor(many, CONFIGURATION.groups[0], _Cache(setup)).look(counting)
    assert len(divided) == 8 + 3 * 4 == patches_per_epoch(8, 1, sees_all=False)


def test_criteria_of_the_kept_epoch_stay_with_it(tmp_path):
    setup = make_setup(tmp_path / "cases")
    train_diffusion(setup, tmp_path)
    result = train_level(setup, tmp_path, CONFIGURATION.levels[0])
    kept = load_checkpoint(tmp_path / "level1" / "checkpoint_final.pth")["levels"][0]["criteria"]
    assert result.statistics.criteria == Criteria(**kept)
    assert 0 <= kept["explained_visual"] <= 1
