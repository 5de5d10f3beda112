"""Prepared cases as training wants them: padded to hold a patch, kept in memory while there is room."""

from pathlib import Path

from dd_nnunet.core.case import FloatArray
from dd_nnunet.core.plan import ConfigurationPlan, Zyx
from dd_nnunet.preprocessing.pad import Box, pad_to_patch
from dd_nnunet.preprocessing.resample import LINEAR, resample_axis
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
        self._resized: BoundedCache[FloatArray] = BoundedCache()
        self._boxes: dict[str, Box] = {}

    def image(self, case_id: str) -> FloatArray:
        """The padded volume [C,Z,Y,X] in [0,1]."""
        return self._cache.get(case_id, lambda: self._read(case_id))

    def box(self, case_id: str) -> Box:
        """Where the prepared volume lies in the padded one."""
        if case_id not in self._boxes:
            self._read(case_id)
        return self._boxes[case_id]

    def diffusion_image(self, case_id: str) -> FloatArray:
        """What the diffusion model sees of a case, [C,Z,Y,X] in [0,1].

        The padded volume; or the volume without its padding, resized to the planned grid (trilinearly, voxels being
        cells), whatever its shape.
        """
        grid = self.configuration.diffusion.grid_zyx
        if grid is None:
            return self.image(case_id)
        return self._resized.get(case_id, lambda: self._resize(case_id, grid))

    def for_diffusion(self, array: FloatArray) -> tuple[FloatArray, Box]:
        """As `diffusion_image`, of any prepared volume [C,Z,Y,X]; also the box of the volume in the padded one."""
        padded, box = self.pad(array)
        grid = self.configuration.diffusion.grid_zyx
        return (padded if grid is None else _resized(array, grid)), box

    def _resize(self, case_id: str, grid: Zyx) -> FloatArray:
        return _resized(self.image(case_id)[(slice(None), *self.box(case_id))], grid)

    def _read(self, case_id: str) -> FloatArray:
        padded, self._boxes[case_id] = self.pad(read_case(self.folder, case_id).array)
        return padded

    def pad(self, array: FloatArray) -> tuple[FloatArray, Box]:
        """Pad any volume [C,Z,Y,X] as this configuration needs it; also the box of the volume in it."""
        return pad_to_patch(array, self.configuration.patch_size_zyx, self.configuration.volume_multiple_zyx)


def _resized(volume: FloatArray, grid: Zyx) -> FloatArray:
    # not with torch, whose threads do not live on in background processes
    for axis, size in enumerate(grid, start=1):
        volume = resample_axis(volume, axis, size, LINEAR)
    return volume
