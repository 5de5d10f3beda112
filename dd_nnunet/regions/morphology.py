"""Openings, closings and the like with balls, on grids of any spacing.

Radii are in units of the mean voxel edge (the cube root of a voxel's volume), so that the same radius does the same
on isotropic grids of any spacing, and on anisotropic ones a ball is a ball in millimetres. Beyond the volume's faces
there is no evidence: nothing is eroded from there.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dd_nnunet.regions.foreground import Mask

Labels = npt.NDArray[np.intp]
Box = tuple[slice, slice, slice]
ROUNDING = 1e-6


def ball(radius: float, spacing_zyx_mm: Sequence[float]) -> Mask:
    """Voxels whose centres lie within a radius of the middle one: [z,y,x] bool, odd in every axis."""
    unit = float(np.prod(spacing_zyx_mm)) ** (1 / 3)
    edges = [spacing / unit for spacing in spacing_zyx_mm]
    reaches = [int((radius + ROUNDING) // edge) for edge in edges]
    axes = np.ogrid[tuple(slice(-reach, reach + 1) for reach in reaches)]
    squared = sum((axis * edge) ** 2 for axis, edge in zip(axes, edges, strict=True))
    inside: Mask = squared <= radius**2 + ROUNDING
    return inside


def eroded(mask: Mask, structure: Mask) -> Mask:
    """Voxels [Z,Y,X] around which the whole structure lies in the mask."""
    result: Mask = ndimage.binary_erosion(mask, structure, border_value=1)
    return result


def dilated(mask: Mask, structure: Mask) -> Mask:
    """Voxels [Z,Y,X] that the structure reaches from somewhere in the mask."""
    result: Mask = ndimage.binary_dilation(mask, structure)
    return result


def opened(mask: Mask, structure: Mask) -> Mask:
    """The mask [Z,Y,X] without what the structure does not fit into."""
    return dilated(eroded(mask, structure), structure) & mask


def closed(mask: Mask, structure: Mask) -> Mask:
    """The mask [Z,Y,X] with the gaps that the structure does not fit into."""
    return mask | eroded(dilated(mask, structure), structure)


def filled(mask: Mask) -> Mask:
    """The mask [Z,Y,X], or a slice of it, with what it encloses."""
    result: Mask = ndimage.binary_fill_holes(mask)
    return result


def filled_up_to_faces(mask: Mask) -> Mask:
    """The mask [Z,Y,X] with what it encloses, and with cavities that the volume's faces cut open.

    Beyond a face the mask goes on with what it fills on that face, so that a cavity whose opening there lies within
    the mask's outline is closed.
    """
    beyond = np.pad(mask, 1)
    for axis in range(3):
        for end in (0, -1):
            face = [slice(1, -1)] * 3
            face[axis] = slice(None, 1) if end == 0 else slice(-1, None)
            beyond[tuple(face)] = np.expand_dims(filled(mask.take([end], axis).squeeze(axis)), axis)
    return filled(beyond)[1:-1, 1:-1, 1:-1]


def without_small(mask: Mask, min_voxels: float) -> Mask:
    """The connected components (by faces) of a mask [Z,Y,X] that have at least so many voxels."""
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    large: Mask = (sizes >= max(min_voxels, 1))[labels]
    return large


def without_small_beside_largest(mask: Mask, share: float) -> Mask:
    """The connected components (by faces) of a mask [Z,Y,X] that have at least this share of the largest's voxels."""
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    large: Mask = (sizes >= max(share * sizes.max(), 1))[labels]
    return large


def largest_component(mask: Mask) -> Mask:
    """The connected component (by faces) of a mask [Z,Y,X] with the most voxels; the first of equal ones."""
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest: Mask = mask & (labels == sizes.argmax())
    return largest


def components(labels: Labels, margin: int = 0) -> Iterator[tuple[int, Box, Mask]]:
    """Each number from 1 that occurs in labels [Z,Y,X], its box with a margin, and where it is in the box."""
    for number, found in enumerate(ndimage.find_objects(labels), start=1):
        if found is not None:
            z, y, x = (slice(max(axis.start - margin, 0), axis.stop + margin) for axis in found)
            yield number, (z, y, x), labels[z, y, x] == number
