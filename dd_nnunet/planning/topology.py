"""How often each axis is halved and which kernels fit its spacing: nnU-Net's topology rule, in our own code.

Source: Isensee et al. 2021 (doi 10.1038/s41592-020-01008-z), supplementary note 2, and
nnunetv2/experiment_planning/experiment_planners/network_topology.py.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dd_nnunet.core.plan import Zyx

MIN_EDGE = 4
MAX_INITIAL_VOXELS = 256**3
Floats = Sequence[float]


@dataclass(frozen=True)
class Topology:
    """The shape of a U-Net.

    Args:
        patch_size_zyx: multiple of the product of the strides on every axis.
        strides_zyx: per down-sampling, finest first.
        kernel_sizes_zyx: per resolution, finest first; one more than strides.
    """

    patch_size_zyx: Zyx
    strides_zyx: tuple[Zyx, ...]
    kernel_sizes_zyx: tuple[Zyx, ...]

    @property
    def total_stride_zyx(self) -> Zyx:
        """Voxels per bottleneck cell and axis."""
        return total_stride(self.strides_zyx)


def total_stride(strides_zyx: Sequence[Zyx]) -> Zyx:
    """Product of the strides per axis."""
    z, y, x = (math.prod(stride[axis] for stride in strides_zyx) for axis in range(3))
    return (z, y, x)


def initial_patch_size(spacing_zyx_mm: Floats, median_shape_zyx: Sequence[int]) -> Zyx:
    """The median shape, at most the patch of 256³ voxels that is isotropic in millimetres."""
    edge_mm = (MAX_INITIAL_VOXELS * math.prod(spacing_zyx_mm)) ** (1 / 3)
    z, y, x = (
        max(1, min(round(edge_mm / s), n)) for s, n in zip(spacing_zyx_mm, median_shape_zyx, strict=True)
    )
    return (z, y, x)


def plan_topology(spacing_zyx_mm: Floats, patch_size_zyx: Sequence[int]) -> Topology:
    """Halve the axes until features have about 4 cells per edge, finer axes first until spacings agree.

    An axis is halved while it has at least 8 cells and its spacing is less than twice the finest of the axes
    that still can be halved; a single axis is halved only from 12 cells on. Its kernel is 1 until its spacing
    comes within a factor of 2 of the finest, and 3 from then on; the coarsest resolution always has 3.

    Args:
        spacing_zyx_mm: of the prepared volumes.
        patch_size_zyx: wished; the result's is padded up to a multiple of the total stride.
    """
    spacing = list(spacing_zyx_mm)
    size = list(patch_size_zyx)
    kernel = [1, 1, 1]
    strides: list[Zyx] = []
    kernels: list[Zyx] = []
    while axes := _axes_to_halve(spacing, size):
        kernel = [3 if s / min(spacing) < 2 else k for s, k in zip(spacing, kernel, strict=True)]
        stride = [2 if axis in axes else 1 for axis in range(3)]
        spacing = [s * f for s, f in zip(spacing, stride, strict=True)]
        size = [-(-n // f) for n, f in zip(size, stride, strict=True)]
        strides.append((stride[0], stride[1], stride[2]))
        kernels.append((kernel[0], kernel[1], kernel[2]))
    patch = pad_to_multiple(patch_size_zyx, total_stride(strides))
    return Topology(patch, tuple(strides), (*kernels, (3, 3, 3)))


def pad_to_multiple(shape_zyx: Sequence[int], divisor_zyx: Sequence[int]) -> Zyx:
    """The smallest shape not below `shape_zyx` that is a multiple of `divisor_zyx` on every axis."""
    z, y, x = (-(-n // d) * d for n, d in zip(shape_zyx, divisor_zyx, strict=True))
    return (z, y, x)


def shrink_patch(topology: Topology, median_shape_zyx: Sequence[int]) -> Zyx | None:
    """Take one total stride off the axis that covers most of the median shape.

    Returns:
        The smaller patch, or None when no axis can lose cells without falling under 8 voxels.
    """
    patch, step = list(topology.patch_size_zyx), topology.total_stride_zyx
    able = [axis for axis in range(3) if patch[axis] - step[axis] >= 2 * MIN_EDGE]
    if not able:
        return None
    axis = max(able, key=lambda a: patch[a] / median_shape_zyx[a])
    patch[axis] -= step[axis]
    return (patch[0], patch[1], patch[2])


def _axes_to_halve(spacing: Sequence[float], size: Sequence[int]) -> tuple[int, ...]:
    large = [axis for axis in range(3) if size[axis] >= 2 * MIN_EDGE]
    if not large:
        return ()
    finest = min(spacing[axis] for axis in large)
    axes = tuple(axis for axis in large if spacing[axis] / finest < 2)
    if len(axes) == 1 and size[axes[0]] < 3 * MIN_EDGE:
        return ()
    return axes
