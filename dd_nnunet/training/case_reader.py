"""Prepared cases as training wants them: padded to hold a patch, kept in memory while there is room."""

from pathlib import Path

from dd_nnunet.core.case import FloatArray
from dd_nnunet.core.plan import ConfigurationPlan
from dd_nnunet.preprocessing.pad import Box, pad_to_patch
from dd_nnunet.storage.case_store import read_case
from dd_nnunet.training.bounded_cache import BoundedCache


class CaseReader:
    """Reads prepared cases by id; the most recently used ones stay in memory up to a bound.

    Args:
        folder: the prepared folder of a configuration.
        configuration: patch size and strides, which decide the padding.
    """

    def __init__(self, folder: Path, configuration: ConfigurationPlan) -> None:
        self.folder = folder
        self.configuration = configuration
        self._cache: BoundedCache[FloatArray] = BoundedCache()
        self._boxes: dict[str, Box] = {}

    def image(self, case_id: str) -> FloatArray:
        """The padded volume [C,Z,Y,X] in [0,1]."""
        return self._cache.get(case_id, lambda: self._read(case_id))

    def box(self, case_id: str) -> Box:
        """Where the prepared volume lies in the padded one."""
        if case_id not in self._boxes:
            self._read(case_id)
        return self._boxes[case_id]

    def _read(self, case_id: str) -> FloatArray:
        padded, self._boxes[case_id] = self.pad(read_case(self.folder, case_id).array)
        return padded

    def pad(self, array: FloatArray) -> tuple[FloatArray, Box]:
        """Pad any volume [C,Z,Y,X] as this configuration needs it; also the box of the volume in it."""
        multiple = self.configuration.diffusion.stage_reduction_zyx(1)
        return pad_to_patch(array, self.configuration.patch_size_zyx, multiple)
