"""A volume on its way: raw with its geometry, and prepared with what is needed to go back."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Geometry:
    """Where the voxels of a raw volume lie, in ITK's order (x, y, z) and millimetres."""

    size_xyz: tuple[int, int, int]
    spacing_xyz_mm: tuple[float, float, float]
    origin_xyz_mm: tuple[float, float, float]
    direction: tuple[float, float, float, float, float, float, float, float, float]

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Shape of the numpy array [Z,Y,X]."""
        x, y, z = self.size_xyz
        return (z, y, x)

    @property
    def spacing_zyx_mm(self) -> tuple[float, float, float]:
        """Spacing in array order."""
        x, y, z = self.spacing_xyz_mm
        return (z, y, x)


@dataclass(frozen=True)
class Volume:
    """A raw case.

    Args:
        array: [C,Z,Y,X] float32, raw intensities.
        geometry: of the first channel; all channels agree.
        source_dtypes: the pixel type of each channel's file, e.g. "int16".
        warnings: what was odd about its files.
        oriented: its files say how it lies in the body; otherwise the geometry's direction is a mere convention.
    """

    array: FloatArray
    geometry: Geometry
    source_dtypes: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    oriented: bool = True


@dataclass(frozen=True)
class CaseProperties:
    """What is needed to carry a prediction back to the raw grid, stored as {case}.json.

    Args:
        case_id: the case.
        geometry: of the raw volume.
        crop_start_zyx: first voxel of the crop in the raw array.
        crop_stop_zyx: one past the last voxel of the crop in the raw array.
        prepared_shape_zyx: shape after cropping and resampling.
        prepared_spacing_zyx_mm: spacing after resampling.
        intensity_ranges: per channel, the raw intensities mapped to 0 and to 1.
        warnings: what was odd about this case.
    """

    case_id: str
    geometry: Geometry
    crop_start_zyx: tuple[int, int, int]
    crop_stop_zyx: tuple[int, int, int]
    prepared_shape_zyx: tuple[int, int, int]
    prepared_spacing_zyx_mm: tuple[float, float, float]
    intensity_ranges: tuple[tuple[float, float], ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class PreparedCase:
    """A case ready for training: `array` [C,Z,Y,X] float32 in [0,1], and its properties."""

    array: FloatArray
    properties: CaseProperties
