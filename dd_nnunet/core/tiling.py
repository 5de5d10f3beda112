"""Where tiles of a large volume start, and how their overlaps are weighted."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import numpy.typing as npt

from dd_nnunet.core.plan import Zyx


def tile_starts(size: int, tile: int, step_size: float, multiple: int = 1) -> tuple[int, ...]:
    """Starts of tiles along one axis, evenly spread, the last one flush with the end.

    Args:
        size: voxels of the volume along the axis, at least `tile`.
        tile: voxels of a tile.
        step_size: largest step as a share of the tile, in (0,1].
        multiple: every start is a multiple of it; `size - tile` must be one too.

    Source: nnU-Net's rule (evenly spread steps no larger than `step_size * tile`).
    """
    largest_step = max(int(tile * step_size), 1)
    n_steps = -(-(size - tile) // largest_step) if size > tile else 0
    spread = [(size - tile) * i / n_steps for i in range(1, n_steps)] if n_steps else []
    starts = {0, size - tile, *(round(s / multiple) * multiple for s in spread)}
    return tuple(sorted(starts))


def iterate_tiles(shape: Zyx, tile: Zyx, step_size: float, multiple: Zyx = (1, 1, 1)) -> Iterator[Zyx]:
    """First voxels of all tiles of a volume, z slowest."""
    axes = (tile_starts(s, t, step_size, m) for s, t, m in zip(shape, tile, multiple, strict=True))
    yield from product(*axes)


def gaussian_window(tile: Zyx, sigma_share: float = 1 / 8) -> npt.NDArray[np.float32]:
    """Weights of a tile's voxels: a Gaussian about its centre, at most 1 and nowhere 0.

    Args:
        tile: shape.
        sigma_share: standard deviation as a share of the tile's edge.

    Returns:
        [Z,Y,X] float32 in (0,1].

    Source: nnU-Net's importance map.
    """
    axes = []
    for edge in tile:
        offset = np.arange(edge) - (edge - 1) / 2
        axes.append(np.exp(-0.5 * (offset / (edge * sigma_share)) ** 2))
    window = np.einsum("z,y,x->zyx", *axes)
    return np.asarray(np.maximum(window / window.max(), 1e-4), dtype=np.float32)
