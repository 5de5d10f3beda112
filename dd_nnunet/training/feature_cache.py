"""What training needs of each case, computed once: low-resolution features, denoised copy, objects."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dd_nnunet.core.case import FloatArray
from dd_nnunet.core.plan import FeaturePlan, Zyx
from dd_nnunet.core.units import counted
from dd_nnunet.networks.checkpoint import load_checkpoint, save_checkpoint
from dd_nnunet.networks.decoder_features import CaseFeatures, DecoderFeatures
from dd_nnunet.networks.diffusion_unet import DiffusionUNet
from dd_nnunet.regions.nested_parts import nested_parts
from dd_nnunet.storage.atomic import read_json, sha256_of, write_json
from dd_nnunet.storage.case_store import read_array, write_array
from dd_nnunet.storage.folder_lock import locked
from dd_nnunet.storage.progress_bar import progress_bar
from dd_nnunet.training.bounded_cache import BoundedCache
from dd_nnunet.training.cache_size import check_room, features_bytes
from dd_nnunet.training.pseudo_labels import PartLabels
from dd_nnunet.training.seeds import derive_seed
from dd_nnunet.training.setup import TrainingSetup

logger = logging.getLogger(__name__)
PROJECTION_CASES = 16
SMALLEST_SD = 1e-6


class FeatureCache:
    """Projected features per case and stage, float16 on disk, the denoised copy, and the parts of `objects`.

    Args:
        folder: fold_k/features.
        setup: plan, fold, cases, device, seed.
        stages: every stage that any trained level needs.
    """

    def __init__(self, folder: Path, setup: TrainingSetup, stages: Sequence[int]) -> None:
        self.folder = folder
        self.setup = setup
        self.stages = tuple(sorted(set(stages)))
        self._memory: BoundedCache[FloatArray] = BoundedCache()

    def build(self, diffusion_checkpoint: Path, network: DiffusionUNet) -> None:
        """Compute what is missing; features of another diffusion model, plan or data are computed anew.

        Raises:
            StoppedError: the run was asked to end early; what is computed stays.
            UserError: another process is computing them.
            DiskError: the disk has no room for them.
        """
        with locked(self.folder):
            self._build(diffusion_checkpoint, network)

    def _build(self, diffusion_checkpoint: Path, network: DiffusionUNet) -> None:
        self._check_identity(diffusion_checkpoint)
        case_ids = [c for c in self.setup.fold.train if not self._is_complete(c)]
        if not case_ids:
            return
        configuration = self.setup.configuration
        check_room(self.folder, features_bytes(configuration, self.stages, len(case_ids)), len(case_ids))
        reader = DecoderFeatures(
            network,
            configuration.features,
            self.stages,
            configuration.diffusion.n_timesteps,
            self.setup.runtime,
        )
        bar = progress_bar(
            total=len(case_ids), desc="features", unit="case", disable=not self.setup.progress_bar
        )
        projections = self._saved_projections()
        if projections is None:
            train = self.setup.fold.train
            chosen = train[:: max(len(train) // PROJECTION_CASES, 1)][:PROJECTION_CASES]
            sample = {}
            for case_id in chosen:
                # nothing of the sample can be kept before it is whole
                self.setup.stop.check_signals(self.folder)
                sample[case_id] = self._compute(reader, case_id)
            self.setup.stop.begin_steps()
            projections = self._fit_projections(list(sample.values()))
            for case_id, features in sample.items():
                self._write(case_id, features, projections)
            bar.update(len(sample))
            case_ids = [c for c in case_ids if c not in sample]
        for case_id in case_ids:
            self._write(case_id, self._compute(reader, case_id), projections)
            bar.update()
        bar.close()
        size = sum(path.stat().st_size for path in self.folder.glob("*.b2nd"))
        logger.info(
            "features: %s, %.1f MB in %s",
            counted(len(self.setup.fold.train), "case"),
            size / 1e6,
            self.folder,
        )

    def is_built(self, diffusion_checkpoint: Path) -> bool:
        """Whether everything is there, of this diffusion model, plan and seed; nothing is written."""
        path = self.folder / "identity.json"
        return (
            path.exists()
            and read_json(path) == self._identity(diffusion_checkpoint)
            and self._saved_projections() is not None
            and all(map(self._is_complete, self.setup.fold.train))
        )

    def project(self, stage: int, activation: Tensor) -> Tensor:
        """Features [n,z,y,x] of an activation [p,z,y,x] of any case, as those of training cases are kept."""
        projections = self._saved_projections()
        assert projections is not None, "the cache is built"
        return torch.from_numpy(_project(activation, projections[stage])).float()

    def features(self, case_id: str, stage: int) -> FloatArray:
        """Projected features [p,z,y,x] float32 of a stage."""
        return self._read(f"{case_id}_stage{stage}")

    def visual_target(self, case_id: str) -> FloatArray:
        """What visual consistency compares: [C,Z,Y,X] in [0,1], the image or its denoised copy."""
        if self.setup.configuration.features.visual_target == "image":
            return self.setup.reader.image(case_id)
        return self._read(f"{case_id}_denoised")

    def object_parts(self, case_id: str, level: int) -> PartLabels:
        """Parts [Z,Y,X] of a level that starts from objects."""
        parts: PartLabels = read_array(self.folder / f"{case_id}_objects.b2nd")[level - 1]
        return parts

    def _read(self, name: str) -> FloatArray:
        return self._memory.get(name, lambda: read_array(self.folder / f"{name}.b2nd").astype(np.float32))

    def _names(self, case_id: str) -> list[str]:
        names = [f"{case_id}_stage{stage}" for stage in self.stages]
        denoised = self.setup.configuration.features.visual_target == "denoised"
        names += [f"{case_id}_denoised"] * denoised
        return [*names, f"{case_id}_objects"] if self._has_objects else names

    @property
    def _has_objects(self) -> bool:
        configuration = self.setup.configuration
        return any(configuration.starts_from_objects(level) for level in configuration.levels)

    def _is_complete(self, case_id: str) -> bool:
        return all((self.folder / f"{name}.b2nd").exists() for name in self._names(case_id))

    def _compute(self, reader: DecoderFeatures, case_id: str) -> CaseFeatures:
        image = torch.from_numpy(self.setup.reader.diffusion_image(case_id))
        seed = derive_seed(self.setup.seed, "features", case_id)
        return reader.of_volume(image, self.setup.configuration.diffusion_patch_zyx, seed)

    def _write(
        self, case_id: str, features: CaseFeatures, projections: dict[int, tuple[Tensor, Tensor]]
    ) -> None:
        for stage, activation in features.activations.items():
            write_array(
                self.folder / f"{case_id}_stage{stage}.b2nd", _project(activation, projections[stage])
            )
        if features.denoised is not None:
            write_array(
                self.folder / f"{case_id}_denoised.b2nd", features.denoised.numpy().astype(np.float16)
            )
        if self._has_objects:
            write_array(self.folder / f"{case_id}_objects.b2nd", self._find_objects(case_id))
        self.setup.stop.check(self.folder)

    def _find_objects(self, case_id: str) -> PartLabels:
        """Parts of every level that starts from objects, [level,Z,Y,X], padded as the volume is: by mirroring."""
        configuration, reader = self.setup.configuration, self.setup.reader
        assert configuration.objects is not None
        padded, box = reader.image(case_id)[0], reader.box(case_id)
        parts = nested_parts(padded[box], configuration.objects, configuration.spacing_zyx_mm)
        beyond = [(b.start, n - b.stop) for b, n in zip(box, padded.shape, strict=True)]
        return np.pad(np.stack(parts), [(0, 0), *beyond], mode="symmetric")

    def _identity(self, diffusion_checkpoint: Path) -> dict[str, object]:
        plan, objects = self.setup.configuration.features, self.setup.configuration.objects
        return {
            "diffusion_sha256": sha256_of(diffusion_checkpoint),
            "plan": str(plan),
            "objects": str(objects and (objects.n_parts, objects.smallest_mm)),
            "seed": self.setup.seed,
        }

    def _check_identity(self, diffusion_checkpoint: Path) -> None:
        identity = self._identity(diffusion_checkpoint)
        path = self.folder / "identity.json"
        if path.exists() and read_json(path) == identity:
            return
        for old in [*self.folder.glob("*.b2nd"), *self.folder.glob("projection*.pth*")]:
            old.unlink()
        write_json(path, identity)

    def _projection_path(self, stage: int) -> Path:
        return self.folder / f"projection_stage{stage}.pth"

    def _saved_projections(self) -> dict[int, tuple[Tensor, Tensor]] | None:
        if not all(self._projection_path(stage).exists() for stage in self.stages):
            return None
        loaded = {stage: load_checkpoint(self._projection_path(stage)) for stage in self.stages}
        return {stage: (content["mean"], content["directions"]) for stage, content in loaded.items()}

    def _fit_projections(self, sample: Sequence[CaseFeatures]) -> dict[int, tuple[Tensor, Tensor]]:
        projections = {}
        for stage in self.stages:
            cells = torch.cat([features.activations[stage].flatten(1) for features in sample], dim=1)
            mean, directions = fit_projection(cells, self.setup.configuration.features)
            save_checkpoint(self._projection_path(stage), {"mean": mean, "directions": directions})
            projections[stage] = (mean, directions)
        return projections


def _project(activation: Tensor, projection: tuple[Tensor, Tensor]) -> npt.NDArray[np.float16]:
    mean, directions = projection
    projected = torch.einsum("pzyx,pn->nzyx", activation - mean[:, None, None, None], directions)
    return projected.numpy().astype(np.float16)


def fit_projection(samples: Tensor, plan: FeaturePlan) -> tuple[Tensor, Tensor]:
    """Centre, scale and principal directions of feature channels.

    Distances between projected features are those between the (scaled) features, up to the dropped components; of
    "whiten" they are not, as every kept component has unit variance. `n_components` 0 keeps all channels.

    Args:
        samples: [p,N] features of many cells.
        plan: scaling and number of components.

    Returns:
        mean [p] and directions [p,n]: projected = directionsᵀ (feature - mean).
    """
    values = samples.double()
    mean = values.mean(dim=1)
    centred = values - mean[:, None]
    scale = torch.ones_like(mean)
    if plan.scaling != "none":
        scale = 1 / centred.square().mean(dim=1).sqrt().clamp(min=SMALLEST_SD)
    scaled = centred * scale[:, None]
    if not plan.n_components and plan.scaling != "whiten":
        return mean.float(), torch.diag(scale).float()
    variances, vectors = torch.linalg.eigh(scaled @ scaled.T / scaled.shape[1])
    directions = vectors.flip(1)[:, : plan.n_components or None]
    # a fixed sign, so that the same data gives the same numbers on every machine
    largest = directions.abs().argmax(dim=0)
    directions = directions * directions[largest, torch.arange(directions.shape[1])].sign()
    if plan.scaling == "whiten":
        kept = variances.flip(0)[: directions.shape[1]].clamp(min=0)
        # a direction without variance is rounding: it would be noise of variance one
        directions = directions * torch.where(kept > SMALLEST_SD * kept[0], kept.rsqrt(), 0)
    return mean.float(), (scale[:, None] * directions).float()


def feature_window(size: int, cells: int, reduction: int, start: int) -> tuple[int, int]:
    """Cells that a patch along one axis is interpolated from.

    Args:
        size: voxels of the patch.
        cells: cells of the volume.
        reduction: voxels per cell.
        start: first voxel of the patch.

    Returns:
        First cell and number of cells; the number does not depend on `start`.
    """
    n_cells = min(cells, -(-size // reduction) + 3)
    first = min(max(start // reduction - 1, 0), cells - n_cells)
    return first, n_cells


def feature_windows(patch: Zyx, cells: Zyx, reduction: Zyx, start: Zyx) -> tuple[Zyx, Zyx]:
    """`feature_window` of each axis: first cells and numbers of cells."""
    windows = [feature_window(*axis) for axis in zip(patch, cells, reduction, start, strict=True)]
    (z, nz), (y, ny), (x, nx) = windows
    return (z, y, x), (nz, ny, nx)
