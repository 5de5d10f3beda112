"""Parts of a case decided anew by the case's own mean intensities, with a network's probabilities as prior.

A network gives the same part to the same intensity in every case. Where a case is brighter than others, or an object
so large that it shifts the scale of intensities, this is not what Eq. 7 asks for: means z_k are those of the image at
hand. So its masks M are taken for the start and the prior of a mixture of Gaussians with one variance per channel,

    r_ku ∝ M_ku^b · exp(-Σ_c (x_cu - z_kc)² / 2σ_c²)
    z_k = Σ_u r_ku x_u / Σ_u r_ku
    σ_c² = 1/N Σ_k Σ_u r_ku (x_cu - z_kc)²

computed in turn. Where noise is large against what parts differ by, σ is, and the network decides; where it is small,
the intensities do.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dd_nnunet.core.case import FloatArray

Floats = npt.NDArray[np.floating]
Labels = npt.NDArray[np.unsignedinteger]
# b: the network has seen the intensities too, and counted fully they would count twice
PRIOR_WEIGHT = 0.5
ROUNDS = 10
# means are fitted to so many voxels at most, evenly drawn
FIT_VOXELS = 2**18
# voxels; what labels are made from is smoothed likewise
SMOOTHING_SD = 0.7
SMALLEST_SD = 1e-3
SMALLEST_PROBABILITY = 1e-4
FEWEST_VOXELS = 1.0


@dataclass(frozen=True)
class OwnMeans:
    """What the parts of a case look like.

    Args:
        means: [K,C] intensities.
        sd: [C] of all parts together.
    """

    means: Floats
    sd: Floats

    @classmethod
    def fit(cls, values: Floats, prior: Floats) -> "OwnMeans":
        """From some voxels.

        Args:
            values: [C,N] intensities; N at least 1.
            prior: [K,N] probabilities of the network; they need not sum to 1.
        """
        # alike where the network excludes all of them
        shares = prior + SMALLEST_PROBABILITY
        found = cls._of(values, shares / shares.sum(axis=0))
        for _ in range(ROUNDS):
            scores = found.scores(values, prior)
            shares = np.exp(scores - scores.max(axis=0))
            found = cls._of(values, shares / shares.sum(axis=0))
        return found

    @classmethod
    def _of(cls, values: Floats, shares: Floats) -> "OwnMeans":
        sizes = np.maximum(shares.sum(axis=1), SMALLEST_PROBABILITY)
        means = shares @ values.T / sizes[:, None]
        # Σ_ku r (x - z)² = Σ_u x² - Σ_k n_k z_k², where the r of a voxel sum to 1
        squares = (values**2).sum(axis=1) - (sizes[:, None] * means**2).sum(axis=0)
        return cls(means, np.sqrt(np.maximum(squares / values.shape[1], SMALLEST_SD**2)))

    def scores(self, values: Floats, prior: Floats) -> Floats:
        """Log of r [K,…] but for what all parts share, of values [C,…] and prior [K,…]."""
        weight = PRIOR_WEIGHT * np.log(np.maximum(prior, SMALLEST_PROBABILITY))
        for k, mean in enumerate(self.means):
            for channel, middle, sd in zip(values, mean, self.sd, strict=True):
                weight[k] -= (channel - middle) ** 2 / (2 * sd**2)
        return np.asarray(weight)


def seen_smoothly(volume: FloatArray) -> FloatArray:
    """The volume [C,Z,Y,X], smoothed as the visual target is that labels of levels from k-means are made of."""
    return np.stack([ndimage.gaussian_filter(channel, SMOOTHING_SD) for channel in volume])


def divide_by_own_means(
    volume: FloatArray, prior: npt.NDArray[np.float16], above: Labels | None, parents: Sequence[int]
) -> Labels:
    """Parts of a level: of the voxels of each part above, which of its children they are.

    Children that the network gives less than a voxel there have no mean to speak of, and get none.

    Args:
        volume: [C,Z,Y,X], `seen_smoothly`.
        prior: [K,Z,Y,X] probabilities of the level's parts.
        above: [Z,Y,X] parts of the level before; None where there is none.
        parents: of each part the number of the part above that it lies in; of a first level all 0.

    Returns:
        [Z,Y,X] part numbers.
    """
    labels = np.zeros(volume.shape[1:], np.uint8 if len(parents) <= 256 else np.uint16)
    for parent in sorted(set(parents)):
        children = [part for part, its in enumerate(parents) if its == parent]
        inside = np.ones(labels.shape, bool) if above is None else above == parent
        if len(children) == 1 or not inside.any():
            labels[inside] = children[0]
            continue
        places = np.flatnonzero(inside)
        sample = places[:: math.ceil(len(places) / FIT_VOXELS)]
        values = np.stack([channel.ravel()[sample] for channel in volume]).astype(np.float64)
        drawn = np.stack([prior[part].ravel()[sample] for part in children]).astype(np.float64)
        given = drawn.sum(axis=1)
        alive = np.flatnonzero(given >= min(FEWEST_VOXELS, given.max()))
        children, drawn = [children[k] for k in alive], drawn[alive]
        fitted = OwnMeans.fit(values, drawn)
        # slice by slice, so that no more than one is held in full precision
        for z, here in enumerate(inside):
            scores = fitted.scores(volume[:, z, here], prior[children, z][:, here].astype(np.float32))
            labels[z, here] = np.array(children, labels.dtype)[scores.argmax(axis=0)]
    return labels
