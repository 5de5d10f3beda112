"""What a fold's frozen diffusion model says of every voxel of a case."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from dd_nnunet.core.plan import LevelPlan, Zyx
from dd_nnunet.evaluation.baselines.kmeans import FloatImage
from dd_nnunet.networks.decoder_features import DecoderFeatures
from dd_nnunet.objectives.upsampling import AxisMatrices, axis_matrices, spread
from dd_nnunet.preprocessing.pad import Box
from dd_nnunet.training.feature_cache import FeatureCache
from dd_nnunet.training.pretrain_diffusion import load_diffusion
from dd_nnunet.training.seeds import derive_seed
from dd_nnunet.training.setup import TrainingSetup

# numbers of a slab, 64 MB
SLAB_VALUES = 2**24


@dataclass(frozen=True)
class VoxelFeatures:
    """Features of one case, up-sampled linearly to its prepared volume; those of several stages side by side.

    Args:
        shape_zyx: of the volume.
        cells: stage -> [p,z,y,x], as training projects them.
        matrices: stage -> from cells to voxels.
    """

    shape_zyx: Zyx
    cells: Mapping[int, Tensor]
    matrices: Mapping[int, AxisMatrices]

    @property
    def widths(self) -> tuple[int, ...]:
        """How many numbers are of each stage; D in all."""
        return tuple(len(cells) for cells in self.cells.values())

    def of_stages(self, stages: Sequence[int]) -> "VoxelFeatures":
        """Without the other stages."""
        return replace(self, cells={stage: self.cells[stage] for stage in stages})

    def slabs(self) -> Iterator[Tensor]:
        """[N,D] of the voxels of one slab along Z after the other, all voxels in the order of the volume."""
        n_slices, *plane = self.shape_zyx
        depth = max(SLAB_VALUES // (sum(self.widths) * plane[0] * plane[1]), 1)
        for first in range(0, n_slices, depth):
            stages = []
            for stage, cells in self.cells.items():
                z, y, x = self.matrices[stage]
                stages.append(spread(cells[None], (z[None, first : first + depth], y[None], x[None]))[0])
            yield torch.cat(stages).flatten(1).T

    def at(self, voxels: Tensor) -> Tensor:
        """[n,D] of the voxels with these numbers [n], which rise."""
        chosen, first = [], 0
        for slab in self.slabs():
            here = voxels[(voxels >= first) & (voxels < first + len(slab))]
            chosen.append(slab[here - first])
            first += len(slab)
        return torch.cat(chosen)


class FoldFeatures:
    """Features of the cases of a fold, from its diffusion model; the fold itself is never written to.

    Those of training cases are read from the fold where its segmenters have been trained with them; else they are
    computed once and kept beside the baseline's results.

    Args:
        setup: plan, cases, device, and the seed that the fold was trained with.
        fold_folder: holds diffusion/checkpoint_final.pth, and features/ if it is trained on.
        own_folder: where features are kept that are not there.
        levels: whose stages are wanted.

    Raises:
        UserError: the checkpoint is damaged or of another plan; another process is computing the same features.
    """

    def __init__(
        self, setup: TrainingSetup, fold_folder: Path, own_folder: Path, levels: Sequence[LevelPlan]
    ) -> None:
        checkpoint = fold_folder / "diffusion" / "checkpoint_final.pth"
        network = load_diffusion(setup.configuration, setup.n_channels, checkpoint, setup.runtime)
        stages = sorted({stage for level in levels for stage in level.stages})
        self.cache = FeatureCache(fold_folder / "features", setup, stages)
        if not self.cache.is_built(checkpoint):
            self.cache = FeatureCache(own_folder, _features_only(setup), stages)
            self.cache.build(checkpoint, network)
        self.setup = _features_only(setup)
        configuration = self.setup.configuration
        self._decoder = DecoderFeatures(
            network, configuration.features, stages, configuration.diffusion.n_timesteps, setup.runtime
        )

    def of_training_case(self, case_id: str, stages: Sequence[int]) -> VoxelFeatures:
        """Features of a training case as the losses see them."""
        cells = {stage: torch.from_numpy(self.cache.features(case_id, stage)) for stage in stages}
        return self._at_voxels(cells, self.setup.reader.box(case_id))

    def of_image(self, image: FloatImage) -> VoxelFeatures:
        """Features of any prepared volume [C,Z,Y,X], of all stages; the same noise is drawn for each volume."""
        seen, box = self.setup.reader.for_diffusion(image)
        seed = derive_seed(self.setup.seed, "features", "any volume")
        tile = self.setup.configuration.diffusion_patch_zyx
        activations = self._decoder.of_volume(torch.from_numpy(seen), tile, seed).activations
        cells = {stage: self.cache.project(stage, values) for stage, values in activations.items()}
        return self._at_voxels(cells, box)

    def _at_voxels(self, cells: Mapping[int, Tensor], box: Box) -> VoxelFeatures:
        z, y, x = (axis.stop - axis.start for axis in box)
        matrices = {stage: self._matrices(stage, values, box) for stage, values in cells.items()}
        return VoxelFeatures((z, y, x), cells, matrices)

    def _matrices(self, stage: int, cells: Tensor, box: Box) -> AxisMatrices:
        """As the losses interpolate: cells cover the padded volume, or the volume itself where that was resized."""
        configuration = self.setup.configuration
        on_corners = configuration.segmenter.feature_grid == "corners"
        nz, ny, nx = cells.shape[1:]
        z, y, x = (axis.stop - axis.start for axis in box)
        if configuration.diffusion.grid_zyx is not None:
            return axis_matrices((z, y, x), (nz, ny, nx), (z / nz, y / ny, x / nx), (0, 0, 0), on_corners)
        reduction = configuration.diffusion.stage_reduction_zyx(stage)
        first = (box[0].start, box[1].start, box[2].start)
        return axis_matrices((z, y, x), (nz, ny, nx), reduction, first, on_corners)


def _features_only(setup: TrainingSetup) -> TrainingSetup:
    """Without what else training keeps of each case; the features are the same."""
    features = replace(setup.configuration.features, visual_target="image")
    return replace(setup, configuration=replace(setup.configuration, features=features, objects=None))
