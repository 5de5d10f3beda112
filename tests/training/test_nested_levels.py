"""Several levels in one training: their labels, their losses, and what is kept."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from small_fold import CONFIGURATION, make_setup, train_diffusion

from dd_nnunet.core.part_tree import PartTree
from dd_nnunet.core.plan import LevelPlan, ObjectPlan
from dd_nnunet.networks.checkpoint import load_checkpoint
from dd_nnunet.networks.trained_segmenter import load_segmenter
from dd_nnunet.storage.run_folder import open_run_folder
from dd_nnunet.training.feature_cache import FeatureCache
from dd_nnunet.training.level_objective import LevelObjective
from dd_nnunet.training.nested_labels import NestedLabels, SampleCase
from dd_nnunet.training.pretrain_diffusion import load_diffusion
from dd_nnunet.training.progress_figure import log_of_level
from dd_nnunet.training.pseudo_labels import given_parents, reseed_within_parents
from dd_nnunet.training.train_segmenter import train_segmenter

PARENTS = (0, 1, 1, 2, 2, 2)
LEVELS = (LevelPlan(1, 2, (1,)), LevelPlan(2, 3, (2,)))


def nested(**changes):
    segmenter = dataclasses.replace(CONFIGURATION.segmenter, nested=True)
    return dataclasses.replace(CONFIGURATION, segmenter=segmenter, levels=LEVELS, **changes)


def slow_loss(logits, labels, parents):
    """Voxel by voxel, among the siblings of each voxel's true part only."""
    split = [k for k, p in enumerate(parents) if parents.count(p) > 1]
    voxels = {k: int((labels == k).sum()) for k in split}
    weight = {k: max(voxels[k], 50) ** -0.75 for k in split}
    total = sum(weight[k] * voxels[k] for k in split)
    cross_entropy, overlap, mass = 0.0, dict.fromkeys(split, 0.0), {k: float(voxels[k]) for k in split}
    for b, z, y, x in np.ndindex(*labels.shape):
        true = int(labels[b, z, y, x])
        siblings = [k for k, p in enumerate(parents) if p == parents[true]]
        if len(siblings) == 1:
            continue
        scores = np.array([float(logits[b, k, z, y, x]) for k in siblings])
        shares = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        cross_entropy -= weight[true] * np.log(shares[siblings.index(true)]) / total
        overlap[true] += shares[siblings.index(true)]
        for k, share in zip(siblings, shares, strict=True):
            mass[k] += share
    dice = [(2 * overlap[k] + 1) / (mass[k] + 1) for k in split]
    return cross_entropy + 1 - np.mean(dice), cross_entropy


def test_labels_of_known_parents_by_a_slow_loop():
    torch.manual_seed(0)
    logits = torch.randn(2, 6, 4, 3, 2, dtype=torch.float64)
    labels = torch.randint(0, 6, (2, 4, 3, 2))
    found = [float(value) for value in given_parents(logits, labels, PARENTS)]
    assert found == pytest.approx(slow_loss(logits, labels, PARENTS))
    # what is added to all children of a part changes nothing
    moved = logits + torch.tensor([9.0, -3.0, 5.0])[list(PARENTS)].reshape(1, 6, 1, 1, 1)
    assert float(given_parents(moved, labels, PARENTS)[0]) == pytest.approx(found[0])


def test_where_nothing_splits_there_is_nothing_to_learn():
    logits = torch.randn(1, 3, 2, 2, 2, requires_grad=True)
    loss, cross_entropy = given_parents(logits, torch.zeros(1, 2, 2, 2, dtype=torch.long), (0, 1, 2))
    loss.backward()
    assert loss.item() == cross_entropy.item() == 0 and not logits.grad.any()
    # nor where none of the parts that split is in the batch
    assert given_parents(logits, torch.zeros(1, 2, 2, 2, dtype=torch.long), (0, 1, 1))[1].item() == 0


def test_a_dead_part_is_seeded_in_its_own_parent():
    labels = torch.tensor([0] * 200 + [1] * 300 + [3] * 300).reshape(1, 8, 10, 10)
    unexplained = torch.arange(800.0)[None]
    found = reseed_within_parents(labels, unexplained, (2, 4), PARENTS).flatten()
    # one in a hundred of part 1's 300 voxels, and of part 3's: the worst explained ones
    assert (found == 2).nonzero().flatten().tolist() == [497, 498, 499]
    assert (found == 4).nonzero().flatten().tolist() == [797, 798, 799]
    assert torch.equal(torch.tensor(PARENTS)[found], torch.tensor(PARENTS)[labels.flatten()])
    nowhere = reseed_within_parents(torch.zeros_like(labels), unexplained, (2,), PARENTS)
    assert not nowhere.any()


def cells(n_cases=3):
    """A box of 0.5 in 0.1, with a brighter and a darker box of equal size in it."""
    cases = []
    for number in range(n_cases):
        target = np.random.default_rng(number).normal(0.1, 0.01, (1, 20, 20, 20)).astype(np.float32)
        target[:, 3:17, 3:17, 3:17] += 0.4
        target[:, 5:9, 5:13, 5:13] += 0.3
        target[:, 11:15, 5:13, 5:13] -= 0.2
        cases.append(target)
    return cases


def test_kmeans_splits_the_parts_of_the_level_before():
    tree = PartTree((2, 4), ((0, 1, 1, 1),))
    nothing = np.empty((0, 20, 20, 20), np.uint8)
    sample = [SampleCase(target, nothing) for target in cells()]
    labels = NestedLabels(tree, sample, seed=0).of_case(sample[0])
    assert labels.shape == (2, 20, 20, 20) and labels.dtype == np.uint8
    # part 0 is around, and of part 1's children the largest comes first
    assert labels[0, 0, 0, 0] == 0 and labels[0, 10, 10, 10] == 1 and labels[1, 10, 10, 4] == 1
    np.testing.assert_array_equal(np.array(tree.parents[0])[labels[1]], labels[0])
    bright, dark = labels[1, 7, 9, 9], labels[1, 13, 9, 9]
    assert {bright, dark} == {2, 3}
    assert (labels[1, 6:8, 7:11, 7:11] == bright).all() and (labels[1, 12:14, 7:11, 7:11] == dark).all()


def test_below_given_levels_too():
    tree = PartTree((2, 3), ((0, 1, 1),))
    given = np.zeros((1, 20, 20, 20), np.uint8)
    given[0, 3:17, 3:17, 3:17] = 1
    sample = [SampleCase(target, given) for target in cells()]
    found = NestedLabels(tree, sample, seed=0).of_case(sample[1])
    np.testing.assert_array_equal(found[0], given[0])
    np.testing.assert_array_equal(found[1] > 0, given[0] > 0)
    # a case without the part that splits
    empty = NestedLabels(tree, sample, seed=0).of_case(SampleCase(cells()[0], np.zeros_like(given)))
    assert not empty.any()


def test_a_finer_level_leaves_its_parents_alone():
    objective = LevelObjective(nested(), LEVELS[1], (0, 1, 1), None)
    torch.manual_seed(0)
    coarser = torch.rand(2, 1, 4, 4, 4)
    masks = objective._within(torch.randn(2, 3, 4, 4, 4), torch.cat((coarser, 1 - coarser), dim=1))
    torch.testing.assert_close(masks[:, :1], coarser)
    torch.testing.assert_close(masks.sum(dim=1), torch.ones(2, 4, 4, 4))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    """Both levels in one network: level 1 from objects, level 2 from k-means within them."""
    root = tmp_path_factory.mktemp("nested")
    configuration = nested(objects=ObjectPlan((2,), (4.0,), 3.0))
    setup = dataclasses.replace(make_setup(root / "prepared"), configuration=configuration)
    train_diffusion(setup, root)
    checkpoint = root / "diffusion" / "checkpoint_final.pth"
    cache = FeatureCache(root / "features", setup, (1, 2))
    cache.build(checkpoint, load_diffusion(configuration, 1, checkpoint, setup.runtime))
    (group,) = configuration.groups
    with open_run_folder(root / group.folder, {"seed": 0}) as run:
        return root / group.folder, group, train_segmenter(setup, group, cache, run)


def test_the_log_tells_of_every_level(trained):
    folder, _, results = trained
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [entry["phase"] for entry in log] == ["warm_start"] * 2 + ["discovery"] * 2
    last = log[-1]
    assert set(last["levels"]) == {"1", "2"}
    for name in ("total", "feature", "visual", "invariance"):
        of_levels = [entry[name] for entry in last["levels"].values()]
        assert last[name] == pytest.approx(np.mean(of_levels))
    assert last["alive_parts"] == sum(entry["alive_parts"] for entry in last["levels"].values())
    second = log_of_level(log, 2)[-1]
    assert len(second["part_shares"]) == 3 and second["epoch"] == last["epoch"]
    assert {path.name for path in folder.glob("*.png")} == {"progress_level1.png", "progress_level2.png"}
    assert [len(result.statistics.shares) for result in results] == [2, 3]


def test_parts_keep_the_numbers_of_their_labels(trained):
    folder, group, _ = trained
    path = folder / "checkpoint_final.pth"
    assert load_checkpoint(path)["order"] == [0, 1, 2, 3, 4]
    network = load_segmenter(CONFIGURATION.segmenter, 1, group, path)
    masks = network(torch.rand(1, 1, 16, 16, 16)).exp()
    torch.testing.assert_close(masks[:, 3:].sum(dim=1), masks[:, 1])
