"""How much memory a prediction needs, told before it is taken."""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from dd_nnunet.core.case import CaseProperties
from dd_nnunet.core.dataset import CaseFiles
from dd_nnunet.core.errors import DDError, UserError
from dd_nnunet.core.plan import Zyx
from dd_nnunet.core.units import GB
from dd_nnunet.planning.memory import UNetShape, segmenter_prediction_bytes
from dd_nnunet.planning.resolution import resampled_shape
from dd_nnunet.prediction.predict_case import FoldEnsemble, PredictionSettings
from dd_nnunet.preprocessing.case_memory import bytes_to_preprocess
from dd_nnunet.regions.denoising import SLAB_VOXELS
from dd_nnunet.regions.own_means import FIT_VOXELS
from dd_nnunet.storage.volume import read_geometry

# unlike a worker that prepares cases, this process has torch loaded: 0.42 GB resident with its CPU build
PROCESS_BYTES = 0.45e9
BYTES_PER_VALUE = 4
HALF_PRECISION_BYTES = 2
# of the parts on the raw grid: themselves, and what writing them copies
LABEL_BYTES_PER_VOXEL = 3
# slabs of K probabilities on their way back to the raw grid, of 4 MB or a slice
RESTORED_COPIES = 8
RESTORING_BYTES = 0.04e9
# of every prepared voxel: parts, components, the denoised copy, where it is denoised and what is usual there
SECOND_PASS_BYTES_PER_VOXEL = 20
# of every prepared voxel: parts, where a part is and its voxels' places
OWN_MEANS_BYTES_PER_VOXEL = 16
# of every prepared voxel: parts, components and where the nearest other voxel lies
SMALL_COMPONENTS_BYTES_PER_VOXEL = 48
# in double precision, of the voxels that means are fitted to
FITTED_COPIES = 6
# of a slab that is denoised, with what it overlaps
DENOISING_BYTES_PER_VOXEL = 50
DENOISED_VOXELS = SLAB_VOXELS * 3 // 2


@dataclass(frozen=True)
class MemoryBudget:
    """The memory that a run may use, and what it uses whatever the case.

    Args:
        limit_bytes: for the whole process; infinite if nobody asked.
        settings: how is predicted.
        n_folds: that are averaged.
        n_parts: K of the level, or of the levels together that one network predicts, that has most.
        n_levels: that one network predicts, at most.
        network_bytes: the weights of all folds and levels, where they lie in this memory.
    """

    limit_bytes: float
    settings: PredictionSettings
    n_folds: int
    n_parts: int
    network_bytes: float
    n_levels: int = 1

    @classmethod
    def of(cls, ensembles: Sequence[FoldEnsemble], limit_bytes: float) -> "MemoryBudget":
        """The budget of a run with these networks; those on a GPU do not count."""
        settings = ensembles[0].settings
        on_cpu = settings.runtime.device.type == "cpu"
        n_weights = sum(w.numel() for e in ensembles for n in e.networks for w in n.parameters())
        n_parts = max(ensemble.tree.n_channels for ensemble in ensembles)
        n_levels = max(ensemble.tree.n_levels for ensemble in ensembles)
        network_bytes = float(BYTES_PER_VALUE * n_weights * on_cpu)
        return cls(limit_bytes, settings, len(ensembles[0].networks), n_parts, network_bytes, n_levels)

    def check_patch(self) -> None:
        """Refuse to start where not even a single patch fits.

        Raises:
            UserError: names the bytes needed and allowed.
        """
        patch = " x ".join(map(str, self.settings.configuration.patch_size_zyx))
        self._check(f"a patch of {patch} voxels", PROCESS_BYTES + self.network_bytes + self._patch_bytes())

    def check_file(self, case: CaseFiles) -> None:
        """Refuse a case that does not fit while it is prepared, by the header of its first file.

        Raises:
            UserError: names the bytes needed and allowed.
        """
        # a bad header is told better by the one who reads the whole file
        needed = 0.0
        with contextlib.suppress(DDError):
            geometry = read_geometry(case.channel_files[0])
            target = self.settings.configuration.spacing_zyx_mm
            prepared = resampled_shape(geometry.shape_zyx, geometry.spacing_zyx_mm, target)
            needed = bytes_to_preprocess(geometry.shape_zyx, prepared, len(case.channel_files), PROCESS_BYTES)
        self._check(f"case {case.case_id}", self.network_bytes + needed)

    def check_case(self, properties: CaseProperties) -> None:
        """Refuse a prepared case whose prediction does not fit.

        Raises:
            UserError: names the bytes needed and allowed.
        """
        needed = self.bytes_to_predict(properties.prepared_shape_zyx, properties.geometry.shape_zyx)
        self._check(f"case {properties.case_id}", needed)

    def bytes_to_predict(self, prepared_zyx: Zyx, raw_zyx: Zyx) -> float:
        """Peak memory of predicting one prepared case, the process itself included."""
        configuration = self.settings.configuration
        multiple = configuration.volume_multiple_zyx
        padded = [
            math.ceil(max(n, p) / m) * m
            for n, p, m in zip(prepared_zyx, configuration.patch_size_zyx, multiple, strict=True)
        ]
        n_voxels = len(configuration.normalization) * (math.prod(prepared_zyx) + math.prod(padded))
        # the sums that slices wait in until no later patch touches them, and their weights
        row = (self.n_parts + 1) * configuration.patch_size_zyx[0] * padded[1] * padded[2]
        restored = RESTORED_COPIES * self.n_parts * max(math.prod(prepared_zyx[1:]), math.prod(raw_zyx[1:]))
        kept = HALF_PRECISION_BYTES * self.n_parts * math.prod(prepared_zyx)
        return (
            PROCESS_BYTES + RESTORING_BYTES + self.network_bytes + self._patch_bytes()
            + BYTES_PER_VALUE * (n_voxels + self.n_folds * row + restored)
            + (LABEL_BYTES_PER_VOXEL + self.n_levels - 1) * math.prod(raw_zyx)
            + self._second_pass_bytes(math.prod(prepared_zyx))
            + self._divided_bytes(math.prod(prepared_zyx))
            # twice: the array and its compressed copy, which may be no smaller
            + 2 * kept * self.settings.save_probabilities
        )  # fmt: skip

    def _second_pass_bytes(self, n_voxels: int) -> float:
        configuration = self.settings.configuration
        if not any(configuration.second_pass(level) for level in configuration.levels):
            return 0.0
        # of levels below, what each part would become
        kept = self.n_parts if self.n_levels > 1 else 0
        return (SECOND_PASS_BYTES_PER_VOXEL + kept) * n_voxels + DENOISING_BYTES_PER_VOXEL * min(
            n_voxels, DENOISED_VOXELS
        )

    def _divided_bytes(self, n_voxels: int) -> float:
        """Of levels from k-means that are decided with the whole case in sight."""
        configuration = self.settings.configuration
        segmenter, n_channels = configuration.segmenter, len(configuration.normalization)
        if not (segmenter.own_means or segmenter.smallest_component):
            return 0.0
        # the probabilities twice, while they are stacked
        kept = 2 * HALF_PRECISION_BYTES * self.n_parts * n_voxels
        fitted = FITTED_COPIES * 2 * BYTES_PER_VALUE * min(n_voxels, FIT_VOXELS) * (self.n_parts + n_channels)
        smooth = (OWN_MEANS_BYTES_PER_VOXEL + BYTES_PER_VALUE * n_channels) * n_voxels
        components = SMALL_COMPONENTS_BYTES_PER_VOXEL * n_voxels * (segmenter.smallest_component > 0)
        return kept + (smooth + fitted) * segmenter.own_means + components

    def _patch_bytes(self) -> float:
        configuration = self.settings.configuration
        if self.settings.runtime.device.type != "cpu":
            return 0.0
        plan = configuration.segmenter
        shape = UNetShape(
            patch_size_zyx=configuration.patch_size_zyx,
            channels=plan.features_per_stage,
            strides_zyx=plan.strides_zyx[1:],
            kernel_sizes_zyx=plan.kernel_sizes_zyx,
            n_inputs=len(configuration.normalization),
        )
        return segmenter_prediction_bytes(shape, self.n_parts)

    def _check(self, what: str, needed: float) -> None:
        if needed > self.limit_bytes:
            reason = (
                f"needs about {needed / GB:.2f} GB of memory, the limit is {self.limit_bytes / GB:.2f} GB"
            )
            raise UserError(what, reason, "free some, take fewer folds (-f), or give more with --max_ram GB")
