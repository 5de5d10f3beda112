"""Cuts through a volume as people look at them: in body axes, to scale, with parts painted over."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dd_nnunet.core.case import Geometry
from dd_nnunet.core.part_colours import Rgb

LabelArray = npt.NDArray[np.integer[Any]]
FloatArray = npt.NDArray[np.floating[Any]]
RgbArray = npt.NDArray[np.uint8]
Zyx = tuple[int, int, int]

# plane -> the axis of [Z,Y,X] it cuts across
PLANES = {"axial": 0, "coronal": 1, "sagittal": 2}
LONGEST_SIDE_PIXELS = 384
FILL_OPACITY = 0.32
RIM_PIXELS = 2


@dataclass(frozen=True)
class Oriented:
    """An array turned into body axes: z towards the head, y towards the back, x towards the patient's left.

    Args:
        array: [Z,Y,X].
        spacing_zyx_mm: of the turned array.
        axes_of_file: for each axis of the turned array that of the array [Z,Y,X] of the file.
        flipped: which axes of the turned array run against those of the file.
    """

    array: npt.NDArray[Any]
    spacing_zyx_mm: tuple[float, float, float]
    axes_of_file: Zyx = (0, 1, 2)
    flipped: tuple[bool, bool, bool] = (False, False, False)

    def place_in_file(self, axis: int, index: int) -> tuple[str, int, int]:
        """The axis (i, j or k, the file's first, second or third) and the voxel index along it, of a cut; its voxels.

        Args:
            axis: of the turned array.
            index: along it.

        Returns:
            E.g. ("k", 7, 16): index 7, counted from 0, of 16 voxels.
        """
        n = self.array.shape[axis]
        return "kji"[self.axes_of_file[axis]], n - 1 - index if self.flipped[axis] else index, n


def to_body_axes(array_zyx: npt.NDArray[Any], geometry: Geometry) -> Oriented:
    """Permute and flip the axes so that they run as LPS says, by the nearest axis of an oblique volume.

    Args:
        array_zyx: [Z,Y,X].
        geometry: of its grid.
    """
    direction = np.array(geometry.direction).reshape(3, 3)  # rows: patient x, y, z; columns: array x, y, z
    source_of, sign_of = [0, 0, 0], [1.0, 1.0, 1.0]
    weight = np.abs(direction)
    for _ in range(3):
        patient, source = np.unravel_index(int(np.argmax(weight)), (3, 3))
        source_of[patient], sign_of[patient] = int(source), float(np.sign(direction[patient, source]))
        weight[patient, :] = weight[:, source] = -1.0
    z, y, x = (2 - source_of[2 - axis] for axis in range(3))
    flipped = (sign_of[2] < 0, sign_of[1] < 0, sign_of[0] < 0)
    turned = np.transpose(array_zyx, (z, y, x))[
        tuple(slice(None, None, -1 if flip else 1) for flip in flipped)
    ]
    spacing = geometry.spacing_zyx_mm
    return Oriented(turned, (spacing[z], spacing[y], spacing[x]), (z, y, x), flipped)


def richest_position(labels_zyx: LabelArray) -> Zyx:
    """Per axis, the slice that shows most parts; of those, the one that holds most of each part.

    Every part but 0 counts by the share of its voxels in the slice, so that a small part, of which a few
    slices hold all, draws the cut and a large one does not. Ties go to the slice nearest the middle, so an
    empty label map gives the centre of the volume.
    """
    totals = np.bincount(labels_zyx.ravel())
    z, y, x = (_richest_slice(np.moveaxis(labels_zyx, axis, 0), totals) for axis in range(3))
    return (z, y, x)


def grey_levels(image_zyx: FloatArray) -> FloatArray:
    """Raw intensities to [0,1]: the 0.5 and 99.5 percentiles of the volume become black and white."""
    lower, upper = np.percentile(image_zyx, (0.5, 99.5))
    if upper <= lower:
        lower, upper = float(image_zyx.min()), float(image_zyx.max())
    if upper <= lower:
        return np.full(image_zyx.shape, 0.5)
    return np.asarray(np.clip((image_zyx - lower) / (upper - lower), 0, 1))


def cut(oriented: Oriented, plane: str, position: Zyx, mm_per_pixel: float) -> npt.NDArray[Any]:
    """One plane at the position, the head (or the front) upwards, enlarged to square pixels without blurring.

    Returns:
        [rows, columns], nearest voxel of the array.
    """
    axis = PLANES[plane]
    flat: npt.NDArray[Any] = np.take(oriented.array, position[axis], axis=axis)
    if axis != 0:
        flat = flat[::-1]
    spacing = [mm for i, mm in enumerate(oriented.spacing_zyx_mm) if i != axis]
    for i, mm in enumerate(spacing):
        flat = np.take(flat, _nearest(flat.shape[i], mm / mm_per_pixel), axis=i)
    return flat


def pixel_size_mm(oriented: Oriented) -> float:
    """The size of a pixel at which the longest side of the volume gets `LONGEST_SIDE_PIXELS`."""
    sides = np.multiply(oriented.array.shape, oriented.spacing_zyx_mm)
    return float(sides.max()) / LONGEST_SIDE_PIXELS


def paint(grey: FloatArray, labels: LabelArray | None, colours: Mapping[int, Rgb]) -> RgbArray:
    """Grey levels with parts painted over: a see-through fill and a solid rim.

    Args:
        grey: [rows, columns] in [0,1].
        labels: [rows, columns]; None paints nothing.
        colours: of each label; labels without a colour stay unpainted.
    """
    rgb = np.repeat((grey * 255)[..., None], 3, axis=2)
    if labels is not None:
        rim = _rim(labels)
        for label, colour in colours.items():
            inside = labels == label
            rgb[inside] += FILL_OPACITY * (np.array(colour) - rgb[inside])
            rgb[inside & rim] = colour
    return np.round(rgb).astype(np.uint8)


def png_uri(rgb: RgbArray) -> str:
    """An RGB array [rows, columns, 3] as a `data:` URI."""
    from matplotlib.image import imsave

    stream = io.BytesIO()
    imsave(stream, rgb, format="png", pil_kwargs={"optimize": True})
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _richest_slice(slices: LabelArray, totals: npt.NDArray[np.intp]) -> int:
    middle = (len(slices) - 1) / 2

    def richness(index: int) -> tuple[int, float, float]:
        counts = np.bincount(slices[index].ravel(), minlength=len(totals))[1:]
        shares = counts / np.maximum(totals[1:], 1)
        return (int((counts > 0).sum()), float(shares.sum()), -abs(index - middle))

    return max(range(len(slices)), key=richness)


def _nearest(n_voxels: int, pixels_per_voxel: float) -> npt.NDArray[np.intp]:
    """For each pixel along an axis the voxel under its centre."""
    n_pixels = max(1, round(n_voxels * pixels_per_voxel))
    centres = (np.arange(n_pixels) + 0.5) * (n_voxels / n_pixels)
    return centres.astype(np.intp)


def _rim(labels: LabelArray) -> npt.NDArray[np.bool_]:
    """Pixels that have another label at most `RIM_PIXELS` away along a row or a column."""
    rim = np.zeros(labels.shape, dtype=bool)
    for axis in (0, 1):
        along, rim_along = np.moveaxis(labels, axis, 0), np.moveaxis(rim, axis, 0)  # views
        for step in range(1, RIM_PIXELS + 1):
            differ = along[step:] != along[:-step]
            rim_along[step:] |= differ
            rim_along[:-step] |= differ
    return rim
