"""Clusters of decoder features that mean the same in all cases of a fold: `feat-kmeans` and `feat-gmm`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dd_nnunet.core.plan import ConfigurationPlan, LevelPlan
from dd_nnunet.evaluation.baselines.kmeans import FloatImage, Parts
from dd_nnunet.evaluation.baselines.voxel_features import FoldFeatures, VoxelFeatures
from dd_nnunet.training.seeds import derive_seed
from dd_nnunet.training.selection import PartCounter, canonical_order

MAX_VOXELS = 200_000
# numbers of a sample, 64 MB
MAX_VALUES = 2**24
# on which parts are numbered
NUMBERED_CASES = 16

# features of voxels [N,D] -> their clusters [N] int64
Assign = Callable[[Tensor], Tensor]
# features of a sample of voxels [N,D], K, seed -> how any others are assigned
Cluster = Callable[[Tensor, int, int], Assign]


class FeatureClusters:
    """Clusters of each level, fitted to the training cases of a fold together; called, it divides one case.

    Args:
        cluster: the method.
        features: of the fold.
        levels: to fit.
    """

    def __init__(self, cluster: Cluster, features: FoldFeatures, levels: Sequence[LevelPlan]) -> None:
        self.features = features
        self.levels = {level.level: _fit(cluster, features, level) for level in levels}

    def __call__(
        self, image: FloatImage, levels: Sequence[LevelPlan], configuration: ConfigurationPlan
    ) -> tuple[Parts, ...]:
        """Per level the parts [Z,Y,X] of a prepared case [C,Z,Y,X].

        Part 0 owns most border voxels of the training cases, the rest follow by falling volume.
        """
        voxels = self.features.of_image(image)
        return tuple(self.levels[level.level].parts(voxels.of_stages(level.stages)) for level in levels)


@dataclass(frozen=True)
class _LevelClusters:
    """How voxels of a level are assigned: features times `scale` [D], then `part_of_cluster` [K]."""

    scale: Tensor
    assign: Assign
    part_of_cluster: Tensor

    def parts(self, voxels: VoxelFeatures) -> Parts:
        found = torch.cat([self.assign(slab * self.scale) for slab in voxels.slabs()])
        parts: Parts = self.part_of_cluster[found].numpy().astype(np.uint16).reshape(voxels.shape_zyx)
        return parts


def _fit(cluster: Cluster, features: FoldFeatures, level: LevelPlan) -> _LevelClusters:
    seed = derive_seed(features.setup.seed, "feature clusters", level.level)
    cases = features.setup.fold.train
    sample, widths = _draw_sample(features, cases, level.stages, seed)
    scale = equal_variance(sample, widths)
    assign = cluster(sample * scale, level.n_parts, seed)
    unnumbered = _LevelClusters(scale, assign, torch.arange(level.n_parts))
    counter = PartCounter(level.n_parts)
    for case_id in cases[:: max(len(cases) // NUMBERED_CASES, 1)][:NUMBERED_CASES]:
        found = unnumbered.parts(features.of_training_case(case_id, level.stages))
        counter.add(torch.from_numpy(found.astype(np.int64)), torch.ones(found.shape))
    order = torch.tensor(canonical_order(counter.statistics()))
    return _LevelClusters(scale, assign, order.argsort())


def _draw_sample(
    features: FoldFeatures, cases: Sequence[str], stages: Sequence[int], seed: int
) -> tuple[Tensor, tuple[int, ...]]:
    """Features [N,D] of random voxels, as many from each case, and how many of the D are of each stage."""
    random = np.random.default_rng(seed)
    samples = []
    for case_id in cases:
        case = features.of_training_case(case_id, stages)
        n_wanted = max(min(MAX_VOXELS, MAX_VALUES // sum(case.widths)) // len(cases), 1)
        n_voxels = int(np.prod(case.shape_zyx))
        drawn = random.choice(n_voxels, min(n_wanted, n_voxels), replace=False)
        samples.append(case.at(torch.from_numpy(np.sort(drawn))))
    return torch.cat(samples), case.widths


def equal_variance(sample: Tensor, widths: Sequence[int]) -> Tensor:
    """Factors [D] that give every stage the same total variance over a sample [N,D].

    Args:
        sample: features of several stages side by side.
        widths: how many of the D are of each stage.
    """
    variances = sample.double().var(dim=0)
    totals = torch.stack([stage.sum() for stage in torch.split(variances, list(widths))])
    factors = 1 / totals.clamp(min=torch.finfo(torch.float32).tiny).sqrt()
    return factors.float().repeat_interleave(torch.tensor(list(widths)))
