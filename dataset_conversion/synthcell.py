"""Synthetic cells with three nested levels, after Hsu et al. (NeurIPS 2021, arXiv 2012.01644).

A cell holds vesicles (balls) and mitochondria (cubes), and these hold four kinds of aggregates; coloured
noise lies over everything. The original generator was not published; the ranges here were fitted so that
training-free baselines land near the numbers published for the original data
(benchmarks/results/synthcell_calibration.json) and are frozen since.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

GENERATOR_VERSION = "1.0"
FULL_SIZE = 50
MINI_SIZE = 32
SMALLEST_SIZE = 24

CLASS_NAMES = (
    "background",
    "cell",
    "vesicle",
    "mitochondrion",
    "ball in vesicle",
    "cube in vesicle",
    "ball in mitochondrion",
    "cube in mitochondrion",
)
LEVELS: tuple[dict[str, tuple[int, ...]], ...] = (
    {"background": (0,), "cell": (1, 2, 3, 4, 5, 6, 7)},
    {"background": (0,), "cell": (1,), "vesicle": (2, 4, 5), "mitochondrion": (3, 6, 7)},
    {name: (label,) for label, name in enumerate(CLASS_NAMES)},
)

CELL, VESICLE, MITOCHONDRION = 1, 2, 3
FIRST_AGGREGATE = {VESICLE: 4, MITOCHONDRION: 6}
# half the side of the cube that has the volume of the unit ball
CUBE_HALF_SIDE = 0.5 * (4.0 / 3.0 * np.pi) ** (1.0 / 3.0)
MAX_ATTEMPTS = 100

Shape = Literal["ball", "cube"]
Range = tuple[float, float]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
SHAPE_OF_ORGANELLE: dict[int, Shape] = {VESICLE: "ball", MITOCHONDRION: "cube"}


@dataclass(frozen=True)
class Recipe:
    """Everything that is drawn for a volume, as ranges of uniform distributions.

    Args:
        cell_radius, organelle_radius, aggregate_radius: in voxels of a 50³ volume; a cube has the volume
            of the ball of that radius.
        cell_jitter: the largest shift of the cell's centre along an axis, in voxels of a 50³ volume.
        cell_intensity: above the background, which is 0.
        organelle_offset: intensity above the cell, one draw per kind and volume.
        aggregate_contrast: size of the intensity step from parent to aggregate.
        brighter_share: probability that the step goes up.
        one_intensity_per_kind: one step per aggregate kind and volume instead of one per aggregate.
        n_organelles, n_aggregates: fewest and most per kind (aggregates: and per parent).
        aggregate_fit: share of an aggregate's radius that must have room in its parent; the rest is cut off.
        irregularity: sd of the perturbation of the outlines, as a share of the radius.
        outline_smoothness: sd of the Gaussian that smooths the perturbation of the cell, its organelles
            and their aggregates, in voxels of a 50³ volume.
        noise_exponent: a of the noise's power spectrum f^(-a); 0 is white, 1 pink, 2 Brownian.
        noise_sd: standard deviation of the noise, in the same unit as the intensities.
    """

    cell_radius: Range = (18.0, 22.0)
    cell_jitter: float = 2.0
    organelle_radius: Range = (4.0, 6.0)
    aggregate_radius: Range = (2.0, 3.5)
    cell_intensity: Range = (0.43, 0.53)
    organelle_offset: Range = (0.1, 0.3)
    aggregate_contrast: Range = (0.5, 0.9)
    brighter_share: float = 0.7
    one_intensity_per_kind: bool = True
    n_organelles: tuple[int, int] = (2, 4)
    n_aggregates: tuple[int, int] = (1, 2)
    irregularity: float = 0.0
    outline_smoothness: tuple[float, float, float] = (6.0, 2.5, 1.5)
    aggregate_fit: float = 0.75
    noise_exponent: float = 1.0
    noise_sd: float = 0.25


REGULAR = Recipe()
VARIANTS: dict[str, Recipe] = {
    "regular": REGULAR,
    "irregular": replace(REGULAR, irregularity=0.15, cell_intensity=(0.38, 0.48)),
    "hard-noise": replace(REGULAR, noise_exponent=2.0),
}


@dataclass(frozen=True)
class SyntheticVolume:
    """A volume and its truth.

    Args:
        image: [Z,Y,X] float32; background 0, cell about 0.5, noise of sd 0.25 over both.
        labels: [Z,Y,X] uint8, 0–7 as in `CLASS_NAMES`.
    """

    image: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint8]


def make_volume(recipe: Recipe, seed: int, index: int, size: int = FULL_SIZE) -> SyntheticVolume:
    """Draw volume number `index` of a dataset; it depends on (recipe, seed, index, size) and nothing else.

    Args:
        recipe: one of `VARIANTS`, or a changed copy.
        seed: of the dataset, at least 0.
        index: of the volume in the dataset, at least 0.
        size: edge of the cubic volume in voxels, at least 24; all lengths are scaled by size / 50.

    Returns:
        A volume that holds all eight classes. No organelle touches another or the background.
    """
    if size < SMALLEST_SIZE:
        raise ValueError(f"size is {size}; the aggregates need at least {SMALLEST_SIZE} voxels")
    rng = np.random.default_rng([seed, index, 0])
    for _ in range(MAX_ATTEMPTS):
        scene = _Scene(recipe, rng, size)
        if scene.draw():
            noise_rng = np.random.default_rng([seed, index, 1])
            noise = coloured_noise(noise_rng, (size, size, size), recipe.noise_exponent, recipe.noise_sd)
            return SyntheticVolume((scene.intensities + noise).astype(np.float32), scene.labels)
    raise ValueError(
        f"no volume with all classes in {MAX_ATTEMPTS} attempts; the objects do not fit: {recipe}"
    )


def coloured_noise(
    rng: np.random.Generator, shape_zyx: tuple[int, int, int], exponent: float, sd: float
) -> Floats:
    """Gaussian noise [Z,Y,X] with power spectrum f^(-exponent), mean 0 and the standard deviation `sd`.

    White noise is multiplied by f^(-exponent/2) in the Fourier domain, f = |(f_z, f_y, f_x)|, and f = 0 is
    removed.
    """
    white = rng.standard_normal(shape_zyx)
    n_z, n_y, n_x = shape_zyx
    f_z, f_y, f_x = np.fft.fftfreq(n_z), np.fft.fftfreq(n_y), np.fft.rfftfreq(n_x)
    frequency = np.sqrt(f_z[:, None, None] ** 2 + f_y[None, :, None] ** 2 + f_x[None, None, :] ** 2)
    frequency[0, 0, 0] = np.inf if exponent > 0 else 1.0
    spectrum = np.fft.rfftn(white) * frequency ** (-exponent / 2)
    spectrum[0, 0, 0] = 0.0
    noise: Floats = np.fft.irfftn(spectrum, s=shape_zyx, axes=(0, 1, 2))
    return noise * (sd / float(noise.std()))


def implicit_function(
    shape: Shape, centre_zyx: tuple[float, float, float], radius: float, shape_zyx: tuple[int, int, int]
) -> Floats:
    """Distance from the centre as a share of the radius, minus 1: at most 0 inside the shape. [Z,Y,X].

    A ball is measured by the Euclidean distance, a cube by the largest of the three coordinates.
    """
    axes = np.ogrid[tuple(slice(n) for n in shape_zyx)]
    d_z, d_y, d_x = (np.abs(axis - centre) for axis, centre in zip(axes, centre_zyx, strict=True))
    distance: Floats
    if shape == "ball":
        distance = np.sqrt(d_z**2 + d_y**2 + d_x**2)
        return distance / radius - 1.0
    distance = np.maximum(np.maximum(d_z, d_y), d_x) / CUBE_HALF_SIDE
    return distance / radius - 1.0


def clearance(shape: Shape, free: Mask) -> Floats:
    """Largest reach a shape may have around each voxel and stay inside `free` (exclusive bound), [Z,Y,X].

    Reach is the radius of a ball and half the side of a cube. Voxels outside the array count as free.
    """
    distance: Floats = (
        ndimage.distance_transform_edt(free)
        if shape == "ball"
        else ndimage.distance_transform_cdt(free, metric="chessboard").astype(np.float64)
    )
    return distance


class _Scene:
    """One attempt to draw the noise-free volume: `labels` [Z,Y,X] uint8 and `intensities` [Z,Y,X] float64."""

    def __init__(self, recipe: Recipe, rng: np.random.Generator, size: int) -> None:
        self.recipe = recipe
        self.rng = rng
        self.size = size
        self.scale = size / FULL_SIZE
        self.labels = np.zeros((size, size, size), dtype=np.uint8)
        self.intensities = np.zeros((size, size, size))
        self.outlines = [self._outline(s) for s in recipe.outline_smoothness]

    def draw(self) -> bool:
        """Draw cell, organelles and aggregates; False if too few found room."""
        cell_intensity = self._uniform(self.recipe.cell_intensity)
        self._draw_cell(cell_intensity)
        parents = list(self._draw_organelles(cell_intensity))
        steps = {label: self._step() for label in (4, 5, 6, 7)}
        for kind, parent in parents:
            self._draw_aggregates(kind, parent, steps)
        n_placed = Counter(kind for kind, _ in parents)
        enough = all(n_placed[kind] >= self.recipe.n_organelles[0] for kind in SHAPE_OF_ORGANELLE)
        return enough and bool(np.bincount(self.labels.ravel(), minlength=len(CLASS_NAMES)).all())

    def _draw_cell(self, intensity: float) -> None:
        radius = self._uniform(self.recipe.cell_radius) * self.scale
        middle = (self.size - 1) / 2
        jitter = self.rng.uniform(-1, 1, size=3) * self.recipe.cell_jitter * self.scale
        z, y, x = (float(middle + shift) for shift in jitter)
        inside = implicit_function("ball", (z, y, x), radius, self.labels.shape) + self.outlines[0] <= 0
        # the outermost voxels are always background, so that the cell is never cut
        inside &= ndimage.binary_erosion(np.ones_like(inside))
        self._paint(inside, CELL, intensity)

    def _draw_organelles(self, cell_intensity: float) -> Iterator[tuple[int, Mask]]:
        """Yield (kind, mask) of each organelle placed; the two kinds take turns so that both find room."""
        kinds = (VESICLE, MITOCHONDRION)
        intensity = {kind: cell_intensity + self._uniform(self.recipe.organelle_offset) for kind in kinds}
        n_wanted = {kind: self._count(self.recipe.n_organelles) for kind in kinds}
        free = ndimage.binary_erosion(self.labels == CELL, np.ones((3, 3, 3)))
        for turn in range(max(n_wanted.values())):
            for kind in kinds:
                if turn >= n_wanted[kind]:
                    continue
                radius = self._uniform(self.recipe.organelle_radius) * self.scale
                mask = self._place(SHAPE_OF_ORGANELLE[kind], radius, free, self.outlines[1], fit=1.0)
                if mask is None:
                    continue
                self._paint(mask, kind, intensity[kind])
                free &= ~ndimage.binary_dilation(mask, np.ones((3, 3, 3)))
                yield kind, mask

    def _draw_aggregates(self, kind: int, parent: Mask, steps: dict[int, float]) -> None:
        """Draw balls and cubes into one organelle; each takes only voxels that no other has taken."""
        # the parent's box and one voxel around it, so that distances end at the parent's surface
        box = ndimage.find_objects(ndimage.binary_dilation(parent).astype(np.uint8))[0]
        free, outline = parent[box].copy(), self.outlines[2][box]
        labels, intensities = self.labels[box], self.intensities[box]
        parent_intensity = float(self.intensities[parent][0])
        shapes: tuple[Shape, Shape] = ("ball", "cube")
        n_wanted = [self._count(self.recipe.n_aggregates) for _ in shapes]
        for turn in range(max(n_wanted)):
            for offset, shape in enumerate(shapes):
                if turn >= n_wanted[offset]:
                    continue
                radius = self._uniform(self.recipe.aggregate_radius) * self.scale
                mask = self._place(shape, radius, free, outline, self.recipe.aggregate_fit)
                if mask is None:
                    continue
                label = FIRST_AGGREGATE[kind] + offset
                step = steps[label] if self.recipe.one_intensity_per_kind else self._step()
                labels[mask] = label
                intensities[mask] = parent_intensity + step
                free &= ~mask

    def _place(self, shape: Shape, radius: float, free: Mask, outline: Floats, fit: float) -> Mask | None:
        """A shape somewhere in `free` [Z,Y,X] and clipped to it; None if there is no room.

        Args:
            shape: of the object.
            radius: of the object, in voxels of this volume.
            free: where the object may lie.
            outline: perturbation of the implicit function.
            fit: share of the object's reach that must have room around its centre; below 1 it may be cut.
        """
        reach = fit * (radius if shape == "ball" else radius * CUBE_HALF_SIDE)
        places = np.flatnonzero(clearance(shape, free) >= max(reach, 1.0))
        if len(places) == 0:
            return None
        z, y, x = np.unravel_index(places[self.rng.integers(len(places))], free.shape)
        return free & (implicit_function(shape, (z, y, x), radius, free.shape) + outline <= 0)

    def _outline(self, smoothness: float) -> Floats:
        """Smoothed noise [Z,Y,X] with standard deviation `irregularity`."""
        if self.recipe.irregularity == 0:
            return np.zeros(self.labels.shape)
        white = self.rng.standard_normal(self.labels.shape)
        noise: Floats = ndimage.gaussian_filter(white, smoothness * self.scale)
        return noise * (self.recipe.irregularity / float(noise.std()))

    def _step(self) -> float:
        up = self.rng.random() < self.recipe.brighter_share
        return self._uniform(self.recipe.aggregate_contrast) * (1 if up else -1)

    def _uniform(self, bounds: Range) -> float:
        return float(self.rng.uniform(*bounds))

    def _count(self, bounds: tuple[int, int]) -> int:
        return int(self.rng.integers(bounds[0], bounds[1] + 1))

    def _paint(self, mask: Mask, label: int, intensity: float) -> None:
        self.labels[mask] = label
        self.intensities[mask] = intensity
