"""Parts of a whole case: prepare, predict with every fold, average, and carry back to the raw grid."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from dd_nnunet.core.case import FloatArray, PreparedCase
from dd_nnunet.core.level_plan import LevelPlan
from dd_nnunet.core.plan import ConfigurationPlan
from dd_nnunet.networks.device import Runtime
from dd_nnunet.prediction.align_parts import align_to_reference, average_folds, overlap_matrix
from dd_nnunet.prediction.sliding_window import predict_slices
from dd_nnunet.preprocessing.case import Labels, restore_slices
from dd_nnunet.preprocessing.pad import pad_to_patch, unpad_slices
from dd_nnunet.regions.second_pass import second_pass
from dd_nnunet.storage.case_store import write_array
from dd_nnunet.storage.volume import write_labels

DEFAULT_STEP_SIZE = 0.5


@dataclass(frozen=True)
class PredictionSettings:
    """How to predict: patch and strides from the plan, the rest from the command line.

    Args:
        configuration: the plan.
        runtime: device and number format.
        step_size: largest step between patches as a share of the patch.
        mirror: average over mirrored copies, if the segmenter was trained with such.
        save_probabilities: also write `{case}.b2nd` with the probabilities on the prepared grid.
    """

    configuration: ConfigurationPlan
    runtime: Runtime
    step_size: float = DEFAULT_STEP_SIZE
    mirror: bool = True
    save_probabilities: bool = False

    @property
    def mirrors(self) -> bool:
        """Whether mirrored copies are averaged."""
        return self.mirror and self.configuration.segmenter.recipe != "plain"


class FoldEnsemble:
    """The segmenters of one level, one per fold, and how their parts correspond to those of the first fold."""

    def __init__(self, networks: Sequence[nn.Module], settings: PredictionSettings, level: LevelPlan) -> None:
        self.networks = tuple(networks)
        self.settings = settings
        self.level = level
        self.n_parts = n_parts = level.n_parts
        self._overlaps = np.zeros((len(self.networks), n_parts, n_parts))
        self.orders = self._orders()

    def align(self, case: PreparedCase) -> None:
        """Match each fold's parts with the first fold's, on this case and on those given before."""
        for per_fold in self._slices_per_fold(case):
            reference = next(per_fold).argmax(axis=0)
            self._overlaps[0] += overlap_matrix(reference, reference, self.n_parts)
            for overlaps, other in zip(self._overlaps[1:], per_fold, strict=True):
                overlaps += overlap_matrix(reference, other.argmax(axis=0), self.n_parts)
        self.orders = self._orders()

    def slices(self, case: PreparedCase) -> Iterator[FloatArray]:
        """[K,Y,X] probabilities, averaged over the folds, for every slice along Z of the prepared grid.

        A constant volume is all part 0.
        """
        if not case.array.any():
            yield from self._single_part(case)
            return
        for per_fold in self._slices_per_fold(case):
            yield average_folds(per_fold, self.orders)

    def _single_part(self, case: PreparedCase) -> Iterator[FloatArray]:
        n_slices, *plane = case.array.shape[1:]
        for _ in range(n_slices):
            single: FloatArray = np.zeros((self.n_parts, *plane), np.float32)
            single[0] = 1
            yield single

    def write(self, case: PreparedCase, path: Path) -> Labels:
        """Predict a case and write its parts on the raw grid; returns them [Z,Y,X].

        Raises:
            UserError: the device has not enough memory, or the file cannot be written.
            DiskError: no space left.
        """
        slices = self.slices(case)
        if self.settings.save_probabilities:
            kept = np.empty((self.n_parts, *case.properties.prepared_shape_zyx), dtype=np.float16)
            # the labels are made of what is averaged, not of its half precision
            slices = _copying(slices, kept)
        labels = restore_slices(self._second_pass(slices, case), self.n_parts, case.properties)
        if self.settings.save_probabilities:
            # a coarser raw grid may not need the last ones
            for _ in slices:
                pass
            write_array(probabilities_path(path, case.properties.case_id), kept)
        write_labels(path, labels, case.properties.geometry)
        return labels

    def _second_pass(self, slices: Iterator[FloatArray], case: PreparedCase) -> Iterator[FloatArray]:
        """The slices as they are, or, if so planned, one-hot ones of the parts after a second pass."""
        objects = self.settings.configuration.second_pass(self.level)
        if objects is None:
            yield from slices
            return
        parts = np.stack([probabilities.argmax(axis=0).astype(np.uint8) for probabilities in slices])
        spacing = case.properties.prepared_spacing_zyx_mm
        for parts_yx in second_pass(parts, case.array[0], objects, self.level.level, spacing):
            yield np.equal(parts_yx, np.arange(self.n_parts)[:, None, None]).astype(np.float32)

    def _slices_per_fold(self, case: PreparedCase) -> Iterator[Iterator[FloatArray]]:
        """For every slice along Z: [K,Y,X] of fold after fold, each computed when it is asked for."""
        settings = self.settings
        patch = settings.configuration.patch_size_zyx
        padded, box = pad_to_patch(case.array, patch, settings.configuration.volume_multiple_zyx)
        folds = [
            unpad_slices(
                predict_slices(n, padded, patch, settings.runtime, settings.step_size, settings.mirrors), box
            )
            for n in self.networks
        ]
        for _ in range(case.array.shape[1]):
            yield (next(fold) for fold in folds)

    def _orders(self) -> tuple[tuple[int, ...], ...]:
        return tuple(map(align_to_reference, self._overlaps))


def probabilities_path(path: Path, case_id: str) -> Path:
    """Where the probabilities of a case lie, beside its parts."""
    return path.with_name(f"{case_id}.b2nd")


def _copying(slices: Iterator[FloatArray], target: npt.NDArray[np.float16]) -> Iterator[FloatArray]:
    for z, probabilities in enumerate(slices):
        target[:, z] = probabilities
        yield probabilities
