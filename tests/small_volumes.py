"""Volumes on straight grids, in memory and as files."""

import numpy as np

from dd_nnunet.core.case import Geometry, Volume
from dd_nnunet.storage.volume import write_image, write_labels

STRAIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
ONE_MM = (1.0, 1.0, 1.0)


def straight_grid(shape_zyx, spacing_zyx_mm=ONE_MM, origin_xyz_mm=(0.0, 0.0, 0.0)):
    return Geometry(tuple(shape_zyx[::-1]), tuple(spacing_zyx_mm[::-1]), origin_xyz_mm, STRAIGHT)


def volume_of(array, spacing_zyx_mm=ONE_MM, warnings=()):
    """As it is read from files: an array [Z,Y,X] or [C,Z,Y,X], in memory."""
    array = np.asarray(array, np.float32)
    array = array if array.ndim == 4 else array[None]
    grid = straight_grid(array.shape[1:], spacing_zyx_mm)
    return Volume(array, grid, ("float32",) * len(array), warnings)


def write_volume(path, array, spacing_zyx_mm=ONE_MM, origin_xyz_mm=(0.0, 0.0, 0.0)):
    """Write an image [Z,Y,X] as it is."""
    write_image(path, array, straight_grid(array.shape, spacing_zyx_mm, origin_xyz_mm))
    return path


def write_label_map(path, labels, spacing_zyx_mm=ONE_MM, origin_xyz_mm=(0.0, 0.0, 0.0)):
    """Write part numbers [Z,Y,X]."""
    write_labels(path, labels, straight_grid(labels.shape, spacing_zyx_mm, origin_xyz_mm))
    return path


def cell(number=0, shape=(16, 16, 16)):
    """A bright ball in noise."""
    grid = np.indices(shape, dtype=float)
    squared = sum((g - (n - 1) / 2) ** 2 for g, n in zip(grid, shape, strict=True))
    noise = np.random.default_rng(number).normal(0, 10, shape)
    return (100.0 * (squared < (max(shape) / 3) ** 2) + noise).astype(np.float32)


def cells(n=3, **kwargs):
    """By case id."""
    return {f"cell_{number}": cell(number, **kwargs) for number in range(n)}
