"""Random fields that share a region's spectrum and nothing else: what its intensities would be by chance."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft

from dd_nnunet.regions.foreground import Mask, bounding_box

Floats = npt.NDArray[np.floating[Any]]
# of the region's voxels; lags with fewer pairs say nothing
MIN_PAIRS = 0.1


def surrogates(volume: Floats, region: Mask, count: int, seed: int) -> Iterator[Floats]:
    """Homogeneous Gaussian textures with the autocovariance, mean and variance of a region.

    Were the region one texture r with covariance C(h), the products r(u) r(u+h) summed over the pairs that lie in
    it would be C(h) times the number of those pairs. Their ratio is therefore C, whatever the region's outline;
    filled with zeros, the region would lose covariance to its outline, vary faster by chance than it does, and
    too many splits would pass. The Fourier transform of C, cut off below 0, is the power of every wave; the phases
    are those of white noise. A region that fills its box keeps exactly its own power spectrum.

    Args:
        volume: [Z,Y,X].
        region: [Z,Y,X] bool, at least one voxel.
        count: how many.
        seed: of the phases.

    Yields:
        [z,y,x] float32 in the region's bounding box; mean and variance hold over the region's voxels.

    Source: Theiler et al. 1992 (doi 10.1016/0167-2789(92)90102-S), with the covariance of an irregular region.
    """
    start, stop = bounding_box(region)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    inside, values = region[box], volume[region].astype(np.float64)
    amplitude = _amplitude(np.where(inside, volume[box] - values.mean(), 0.0), inside)
    random = np.random.default_rng(seed)
    for _ in range(count):
        waves = fft.rfftn(random.standard_normal(inside.shape, dtype=np.float32))
        waves *= amplitude / np.maximum(np.abs(waves), np.finfo(np.float32).tiny)
        field = fft.irfftn(waves, s=inside.shape)
        drawn = field[inside].astype(np.float64)
        scale = values.std() / max(float(drawn.std()), np.finfo(np.float32).tiny)
        yield ((field - drawn.mean()) * scale + values.mean()).astype(np.float32)


def _amplitude(centred: Floats, inside: Mask) -> Floats:
    """Square root of the power of each wave [z,y,x//2+1], from the autocovariance of the voxels inside."""
    products, pairs = (_autocorrelation(a.astype(np.float64)) for a in (centred, inside))
    known = pairs > MIN_PAIRS * pairs.flat[0]
    covariance = np.where(known, products / np.where(known, pairs, 1.0), 0.0)
    amplitude: Floats = np.sqrt(np.maximum(fft.rfftn(covariance).real, 0)).astype(np.float32)
    return amplitude


def _autocorrelation(array: Floats) -> Floats:
    correlation: Floats = fft.irfftn(np.abs(fft.rfftn(array)) ** 2, s=array.shape)
    return correlation
