"""Volumes with nested parts whose truth is known: a stack of thick slices, a CT, two stains, an electron micrograph.

Positions and radii are shares of half the volume, so that every phantom can be drawn at any shape.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Zyx = tuple[int, int, int]
Triple = tuple[float, float, float]
MAX_ATTEMPTS = 200


@dataclass(frozen=True)
class Phantom:
    """A case.

    Args:
        channels: per channel [Z,Y,X], in the number type that goes to the file.
        labels: [Z,Y,X] uint8.
    """

    channels: tuple[npt.NDArray[Any], ...]
    labels: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Kind:
    """A kind of phantom.

    Args:
        draw: makes a case of a shape from random numbers.
        shape_zyx, spacing_zyx_mm: of every case.
        channel_names: in order.
        classes: name -> true label.
        levels: per level, class name -> the true labels that it merges.
    """

    draw: Callable[[np.random.Generator, Zyx], Phantom]
    shape_zyx: Zyx
    spacing_zyx_mm: Triple
    channel_names: tuple[str, ...]
    classes: dict[str, int]
    levels: tuple[dict[str, tuple[int, ...]], ...]


def thick_slices(rng: np.random.Generator, shape_zyx: Zyx) -> Phantom:
    """A body with a core and bright seeds in it, under a smooth shading as coils make it, and noise; int16."""
    body_at = _jitter(rng, 0.08)
    labels = np.zeros(shape_zyx, np.uint8)
    labels[ellipsoid(shape_zyx, body_at, _radii(rng, 0.7, 0.85))] = 1
    core = ellipsoid(shape_zyx, body_at, _radii(rng, 0.42, 0.52))
    labels[core] = 2
    for seed in scattered(rng, core, n=4, radius=0.14):
        labels[seed] = 3
    shading = 1 + 0.2 * _smooth_noise(rng, shape_zyx, 0.5)
    image = np.array([0.1, 0.4, 0.7, 1.0])[labels] * shading + rng.normal(0, 0.06, shape_zyx)
    return Phantom((np.rint(1000 * image).astype(np.int16),), labels)


def computed_tomography(rng: np.random.Generator, shape_zyx: Zyx) -> Phantom:
    """A trunk with lungs, a spine and a liver, in Hounsfield units with their noise; int16, air at -1000."""
    labels = np.zeros(shape_zyx, np.uint8)
    centre = _jitter(rng, 0.04)
    # longer than the volume: the trunk is cut off above and below, as in a scan
    labels[ellipsoid(shape_zyx, centre, (9.0, rng.uniform(0.6, 0.7), rng.uniform(0.78, 0.9)))] = 1
    for side in (-1, 1):
        lung = (centre[0] + 0.35, centre[1] - 0.08, centre[2] + 0.42 * side)
        labels[ellipsoid(shape_zyx, lung, (0.6, 0.38, 0.26))] = 2
    liver = (centre[0] - 0.6, centre[1] - 0.05, centre[2] - 0.35)
    labels[ellipsoid(shape_zyx, liver, (0.5, 0.36, 0.34)) & (labels == 1)] = 4
    spine = (0.0, centre[1] + 0.42, centre[2])
    labels[ellipsoid(shape_zyx, spine, (9.0, 0.14, 0.12))] = 3
    hounsfield = np.array([-1000.0, rng.normal(40, 5), rng.normal(-800, 20), rng.normal(600, 40), 120.0])
    image = hounsfield[labels] + rng.normal(0, 18, shape_zyx)
    return Phantom((np.rint(np.clip(image, -1024, 3071)).astype(np.int16),), labels)


def two_stains(rng: np.random.Generator, shape_zyx: Zyx) -> Phantom:
    """A cell that both channels show faintly; its balls shine in the first only, its cubes in the second only."""
    labels = np.zeros(shape_zyx, np.uint8)
    cell = ellipsoid(shape_zyx, _jitter(rng, 0.05), _radii(rng, 0.75, 0.85))
    labels[cell] = 1
    for number, organelle in enumerate(scattered(rng, cell, n=8, radius=0.17, cubes=(1, 3, 5, 7))):
        labels[organelle] = 2 + number % 2
    first = np.array([0.0, 0.35, 1.0, 0.35])[labels] + rng.normal(0, 0.1, shape_zyx)
    second = np.array([0.0, 0.35, 0.35, 1.0])[labels] + rng.normal(0, 0.1, shape_zyx)
    # stains are recorded by two cameras
    channels = (
        np.rint(np.clip(40 + 150 * first, 0, 255)).astype(np.uint8),
        np.rint(np.clip(400 + 3000 * second, 0, 65535)).astype(np.uint16),
    )
    return Phantom(channels, labels)


def electron_micrograph(rng: np.random.Generator, shape_zyx: Zyx) -> Phantom:
    """A grey cell with dark granules on bright ground, slightly blurred, then noise; uint8."""
    labels = np.zeros(shape_zyx, np.uint8)
    cell = ellipsoid(shape_zyx, _jitter(rng, 0.05), _radii(rng, 0.75, 0.85))
    labels[cell] = 1
    for granule in scattered(rng, cell, n=7, radius=0.16):
        labels[granule] = 2
    sharp = np.array([200.0, 140.0, 60.0])[labels]
    image = ndimage.gaussian_filter(sharp, 0.7) + rng.normal(0, 18, shape_zyx)
    return Phantom((np.rint(np.clip(image, 0, 255)).astype(np.uint8),), labels)


KINDS = {
    "thick-slices": Kind(
        thick_slices,
        (16, 64, 64),
        (5.0, 1.0, 1.0),
        ("MRI",),
        {"background": 0, "body": 1, "core": 2, "seed": 3},
        (
            {"background": (0,), "body": (1, 2, 3)},
            {"background": (0,), "body": (1,), "core": (2,), "seed": (3,)},
        ),
    ),
    "ct": Kind(
        computed_tomography,
        (32, 64, 64),
        (2.0, 0.9, 0.9),
        ("CT",),
        {"air": 0, "soft tissue": 1, "lung": 2, "bone": 3, "liver": 4},
        (
            {"air": (0,), "trunk": (1, 2, 3, 4)},
            {"air": (0,), "soft tissue": (1,), "lung": (2,), "bone": (3,), "liver": (4,)},
        ),
    ),
    "two-channels": Kind(
        two_stains,
        (48, 48, 48),
        (1.0, 1.0, 1.0),
        ("first stain", "second stain"),
        {"background": 0, "cell": 1, "ball": 2, "cube": 3},
        (
            {"background": (0,), "cell": (1, 2, 3)},
            {"background": (0,), "cell": (1,), "ball": (2,), "cube": (3,)},
        ),
    ),
    "em": Kind(
        electron_micrograph,
        (48, 48, 48),
        # 16 nanometres
        (1.6e-5, 1.6e-5, 1.6e-5),
        ("EM",),
        {"background": 0, "cell": 1, "granule": 2},
        (
            {"background": (0,), "cell": (1, 2)},
            {"background": (0,), "cell": (1,), "granule": (2,)},
        ),
    ),
}


def ellipsoid(shape_zyx: Zyx, centre_zyx: Triple, radii_zyx: Triple) -> Mask:
    """Voxels [Z,Y,X] within an ellipsoid; the volume reaches from -1 to 1 along each axis."""
    return np.asarray(_distance(shape_zyx, centre_zyx, radii_zyx, 2) <= 1)


def cuboid(shape_zyx: Zyx, centre_zyx: Triple, radii_zyx: Triple) -> Mask:
    """Voxels [Z,Y,X] within a box of the ellipsoid's volume, about."""
    return np.asarray(_distance(shape_zyx, centre_zyx, radii_zyx, np.inf) <= 0.8)


def scattered(
    rng: np.random.Generator, region: Mask, n: int, radius: float, cubes: tuple[int, ...] = ()
) -> list[Mask]:
    """Up to `n` balls that lie in a region and do not touch each other.

    Args:
        rng: of the case.
        region: [Z,Y,X].
        n: wished for; fewer where they find no room.
        radius: as a share of half the volume.
        cubes: which of them, counted from 0, are cubes instead.
    """
    found: list[Mask] = []
    free = region.copy()
    for number in range(n):
        shape = cuboid if number in cubes else ellipsoid
        for _ in range(MAX_ATTEMPTS):
            z, y, x = (float(c) for c in rng.uniform(-0.8, 0.8, size=3))
            # most places are not free, and this is seen without drawing there
            if not free[tuple(int((1 + c) / 2 * k) for c, k in zip((z, y, x), region.shape, strict=True))]:
                continue
            mask = shape(region.shape, (z, y, x), (radius,) * 3)
            if mask.any() and free[mask].all():
                found.append(mask)
                free &= ~ndimage.binary_dilation(mask, np.ones((3, 3, 3)))
                break
    return found


def _distance(shape_zyx: Zyx, centre_zyx: Triple, radii_zyx: Triple, order: float) -> Floats:
    axes = np.ogrid[tuple(slice(0, n) for n in shape_zyx)]
    shares = [
        np.abs((2 * a + 1) / n - 1 - c) / r
        for a, n, c, r in zip(axes, shape_zyx, centre_zyx, radii_zyx, strict=True)
    ]
    z, y, x = np.broadcast_arrays(*shares)
    return np.asarray(np.linalg.norm(np.stack((z, y, x)), ord=order, axis=0))


def _jitter(rng: np.random.Generator, size: float) -> Triple:
    z, y, x = (float(c) for c in rng.uniform(-size, size, size=3))
    return (z, y, x)


def _radii(rng: np.random.Generator, low: float, high: float) -> Triple:
    z, y, x = (float(c) for c in rng.uniform(low, high, size=3))
    return (z, y, x)


def _smooth_noise(rng: np.random.Generator, shape_zyx: Zyx, share: float) -> Floats:
    """Noise of sd 1 that changes over `share` of the volume."""
    widths = [share * n / 2 for n in shape_zyx]
    noise = np.asarray(ndimage.gaussian_filter(rng.standard_normal(shape_zyx), widths, mode="nearest"))
    return np.asarray((noise - noise.mean()) / noise.std())
