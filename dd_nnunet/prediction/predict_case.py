"""Parts of a whole case: prepare, predict with every fold, average, and carry back to the raw grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from dd_nnunet.core.case import FloatArray, PreparedCase
from dd_nnunet.core.plan import ConfigurationPlan
from dd_nnunet.networks.device import Runtime
from dd_nnunet.prediction.align_parts import align_to_reference, average_folds, overlap_matrix
from dd_nnunet.prediction.sliding_window import predict_probabilities
from dd_nnunet.preprocessing.case import restore_probabilities
from dd_nnunet.preprocessing.pad import pad_to_patch, unpad
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
        mirror: average over mirrored copies.
        save_probabilities: also write `{case}.b2nd` with the probabilities on the prepared grid.
    """

    configuration: ConfigurationPlan
    runtime: Runtime
    step_size: float = DEFAULT_STEP_SIZE
    mirror: bool = True
    save_probabilities: bool = False


class FoldEnsemble:
    """The segmenters of one level, one per fold, and how their parts correspond to those of the first fold."""

    def __init__(self, networks: Sequence[nn.Module], settings: PredictionSettings, n_parts: int) -> None:
        self.networks = tuple(networks)
        self.settings = settings
        self.n_parts = n_parts
        self.orders: tuple[tuple[int, ...], ...] = (tuple(range(n_parts)),) * len(self.networks)

    def align(self, cases: Sequence[PreparedCase]) -> None:
        """Match each fold's parts with the first fold's, on a few cases, once for all."""
        if len(self.networks) == 1:
            return
        overlaps = np.zeros((len(self.networks), self.n_parts, self.n_parts))
        for case in cases:
            per_fold = self._per_fold(case)
            overlaps += np.stack([overlap_matrix(per_fold[0], other) for other in per_fold])
        self.orders = tuple(align_to_reference(of_fold) for of_fold in overlaps)

    def probabilities(self, case: PreparedCase) -> FloatArray:
        """[K,Z,Y,X] on the prepared grid, averaged over the folds; a constant volume is all part 0."""
        if not case.array.any():
            single: FloatArray = np.zeros((self.n_parts, *case.array.shape[1:]), np.float32)
            single[0] = 1
            return single
        return average_folds(self._per_fold(case), self.orders)

    def write(self, case: PreparedCase, path: Path) -> npt.NDArray[Any]:
        """Predict a case and write its parts on the raw grid; returns them [Z,Y,X]."""
        probabilities = self.probabilities(case)
        if self.settings.save_probabilities:
            name = f"{case.properties.case_id}.b2nd"
            write_array(path.with_name(name), probabilities.astype(np.float16))
        labels = restore_probabilities(probabilities, case.properties)
        write_labels(path, labels, case.properties.geometry)
        return labels

    def _per_fold(self, case: PreparedCase) -> list[FloatArray]:
        settings = self.settings
        patch = settings.configuration.patch_size_zyx
        padded, box = pad_to_patch(case.array, patch, settings.configuration.diffusion.stage_reduction_zyx(1))
        maps = (
            predict_probabilities(n, padded, patch, settings.runtime, settings.step_size, settings.mirror)
            for n in self.networks
        )
        return [np.ascontiguousarray(unpad(probabilities, box)) for probabilities in maps]
