"""Parts of a whole case: prepare, predict with every fold, average, and carry back to the raw grid."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from dd_nnunet.core.case import FloatArray, PreparedCase
from dd_nnunet.core.plan import ConfigurationPlan, LevelGroup, LevelPlan
from dd_nnunet.networks.device import Runtime
from dd_nnunet.prediction.align_parts import align_to_reference, average_folds, overlap_matrix
from dd_nnunet.prediction.second_look import SecondLook
from dd_nnunet.prediction.sliding_window import predict_slices
from dd_nnunet.preprocessing.case import Labels, restore_slices
from dd_nnunet.preprocessing.pad import pad_to_patch, unpad_slices
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
    """The segmenters of a group of levels, one per fold, and how their parts correspond to those of the first fold.

    Args:
        networks: of each fold; [B,C,Z,Y,X] -> logits or log probabilities [B,parts of all levels,Z,Y,X].
        settings: how to predict.
        group: a level, or several that nest.
    """

    def __init__(
        self, networks: Sequence[nn.Module], settings: PredictionSettings, group: LevelGroup
    ) -> None:
        self.networks = tuple(networks)
        self.settings = settings
        self.group = group
        self.tree = group.tree
        self._overlaps = [[np.zeros((n, n)) for n in self.tree.n_parts] for _ in self.networks]
        self.orders = self._orders()

    def align(self, case: PreparedCase) -> None:
        """Match each fold's parts with the first fold's, on this case and on those given before."""
        for per_fold in self._slices_per_fold(case):
            first = next(per_fold)
            reference = self._parts(first)
            for overlaps, other in zip(self._overlaps, itertools.chain([first], per_fold), strict=True):
                for of_level, parts, others in zip(overlaps, reference, self._parts(other), strict=True):
                    of_level += overlap_matrix(parts, others, len(of_level))
        self.orders = self._orders()

    def orders_of(self, level: LevelPlan) -> tuple[tuple[int, ...], ...]:
        """Per fold, which part of its network each part of a level is."""
        channels = self.tree.channels[self.group.levels.index(level)]
        return tuple(tuple(k - channels.start for k in order[channels]) for order in self.orders)

    def slices(self, case: PreparedCase) -> Iterator[FloatArray]:
        """Probabilities [parts of all levels,Y,X], averaged over the folds, of every slice of the prepared grid.

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
            yield self.tree.one_hot([np.zeros(plane, np.uint8)] * self.tree.n_levels)

    def write(self, case: PreparedCase, paths: Mapping[LevelPlan, Path]) -> dict[LevelPlan, Labels]:
        """Predict a case and write its parts on the raw grid.

        Args:
            case: prepared.
            paths: of the levels that are wanted.

        Returns:
            [Z,Y,X] of these levels, on the raw grid.

        Raises:
            UserError: the device has not enough memory, or a file cannot be written.
            DiskError: no space left.
        """
        slices = self.slices(case)
        if self.settings.save_probabilities:
            kept = np.empty((self.tree.n_channels, *case.properties.prepared_shape_zyx), dtype=np.float16)
            # the labels are made of what is averaged, not of its half precision
            slices = _copying(slices, kept)
        restored = restore_slices(self.after_second_look(slices, case), self.tree, case.properties)
        if self.settings.save_probabilities:
            # a coarser raw grid may not need the last ones
            for _ in slices:
                pass
        found = {}
        for level, channels, labels in zip(self.group.levels, self.tree.channels, restored, strict=True):
            if level not in paths:
                continue
            if self.settings.save_probabilities:
                write_array(probabilities_path(paths[level], case.properties.case_id), kept[channels])
            write_labels(paths[level], labels, case.properties.geometry)
            found[level] = labels
        return found

    def after_second_look(self, slices: Iterator[FloatArray], case: PreparedCase) -> Iterator[FloatArray]:
        """The slices as they are, or, if so planned, one-hot ones of what is found with the whole case in sight."""
        return SecondLook(self.settings.configuration, self.group).slices(slices, case)

    def _parts(self, probabilities: FloatArray) -> list[Labels]:
        """Of a slice [parts of all levels,Y,X]: [Y,X] per level."""
        return list(self.tree.decide(probabilities))

    def _slices_per_fold(self, case: PreparedCase) -> Iterator[Iterator[FloatArray]]:
        """For every slice along Z: [parts of all levels,Y,X] of fold after fold, each computed when asked for."""
        settings, patch = self.settings, self.settings.configuration.patch_size_zyx
        padded, box = pad_to_patch(case.array, patch, settings.configuration.volume_multiple_zyx)
        how = (patch, settings.runtime, settings.step_size, settings.mirrors, self.tree.channels)
        folds = [unpad_slices(predict_slices(network, padded, *how), box) for network in self.networks]
        for _ in range(case.array.shape[1]):
            yield (next(fold) for fold in folds)

    def _orders(self) -> tuple[tuple[int, ...], ...]:
        return tuple(align_to_reference(overlaps, self.tree) for overlaps in self._overlaps)


def probabilities_path(path: Path, case_id: str) -> Path:
    """Where the probabilities of a case lie, beside its parts."""
    return path.with_name(f"{case_id}.b2nd")


def _copying(slices: Iterator[FloatArray], target: npt.NDArray[np.float16]) -> Iterator[FloatArray]:
    for z, probabilities in enumerate(slices):
        target[:, z] = probabilities
        yield probabilities
