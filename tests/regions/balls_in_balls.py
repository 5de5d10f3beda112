"""Balls in noise, with what they are."""

import numpy as np


def ball(shape, centre, radius, spacing=(1.0, 1.0, 1.0)):
    """Voxels whose centres lie within a radius (in mm) of a voxel, [Z,Y,X] bool."""
    grid = np.indices(shape, dtype=float)
    return sum(((g - c) * s) ** 2 for g, c, s in zip(grid, centre, spacing, strict=True)) <= radius**2


def nested_balls(noise=0.02, seed=0):
    """A ball of 0.4 in darkness, two balls of 0.55 and two of 0.85 in it, a core of 0.7 in one of the dim ones.

    Returns the image [32,32,32] and its parts at levels 1, 2 (dim 2, bright 3) and 3 (core 4).
    """
    shape = (32, 32, 32)
    whole = ball(shape, (15.5, 15.5, 15.5), 14)
    dim = ball(shape, (10, 10, 15), 3.6) | ball(shape, (21, 21, 15), 4.2)
    bright = ball(shape, (10, 21, 15), 3.6) | ball(shape, (21, 10, 15), 3.6)
    core = ball(shape, (21, 21, 15), 1.8)
    image = 0.05 + 0.35 * whole + 0.15 * dim + 0.45 * bright + 0.15 * core
    noisy = image + np.random.default_rng(seed).normal(0, noise, shape)
    level2 = np.where(bright, 3, np.where(dim, 2, whole.astype(int)))
    return noisy.astype(np.float32), (whole.astype(int), level2, np.where(core, 4, level2))


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())
