"""A dead part that is seeded again lives and finds what was not explained; left alone, it stays dead."""

import dataclasses

import pytest
import torch
from small_plan import CONFIGURATION
from torch import nn

from dd_nnunet.core.level_plan import LevelPlan
from dd_nnunet.objectives.consistency import represent_voxels
from dd_nnunet.training.level_objective import LevelObjective

SHAPE = (4, 8, 24)
NOISE = 0.08 * torch.randn(1, 1, *SHAPE, generator=torch.Generator().manual_seed(0))


class Slabs:
    """Targets of one noisy volume of three slabs: dark, middle, bright."""

    image = torch.tensor([0.1, 0.5, 0.9]).repeat_interleave(8).expand(1, 1, *SHAPE) + NOISE

    def visual(self, batch):
        return represent_voxels(self.image)

    def features(self, batch):
        return [represent_voxels(self.image)]


def minimise(network, optimizer, loss_of, steps):
    for _ in range(steps):
        loss = loss_of(network(Slabs.image))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def shares(seeded_in_steps, seed):
    """Of three parts after training, from a network that gives the last two slabs to part 1 and nothing to part 2."""
    segmenter = dataclasses.replace(CONFIGURATION.segmenter, anchor_weight=0.0, scale_free=True)
    configuration = dataclasses.replace(CONFIGURATION, segmenter=segmenter, objects=None)
    objective = LevelObjective(configuration, LevelPlan(1, 3, (1,)), None, Slabs())
    torch.manual_seed(seed)
    convolve = nn.Conv3d(1, 16, 3, padding=1), nn.LeakyReLU(), nn.Conv3d(16, 16, 3, padding=1), nn.LeakyReLU()
    network = nn.Sequential(*convolve, nn.Conv3d(16, 3, 1))
    at_first = (torch.arange(SHAPE[2]) >= 8).long().expand(1, *SHAPE)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    minimise(network, optimizer, lambda logits: nn.functional.cross_entropy(logits, at_first), 60)
    for steps, dead_parts in ((seeded_in_steps, (2,)), (60 - seeded_in_steps, ())):
        objective.dead_parts = dead_parts
        minimise(network, optimizer, lambda logits: objective.discovery(logits, None, {}, None)[0], steps)
    parts = network(Slabs.image).argmax(dim=1)
    return [round(float((parts == part).float().mean()), 1) for part in range(3)]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_dead_part_lives_only_if_it_is_seeded(seed):
    assert shares(0, seed) == [0.3, 0.7, 0.0]
    assert shares(20, seed) == [0.3, 0.3, 0.3]
