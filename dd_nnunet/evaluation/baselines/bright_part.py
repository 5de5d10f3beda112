"""What `otsu` and `bright-cluster` share: intensity classes of one image as parts, the brightest cleaned."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from dd_nnunet.evaluation.baselines.kmeans import FloatImage, Parts
from dd_nnunet.regions.foreground import Mask, foreground_mask

Classes = npt.NDArray[np.intp]


class GreyImage:
    """One prepared case as one channel, and where it is not background.

    No channel is known to matter more than another, so their mean is taken.

    Args:
        image: [C,Z,Y,X] in [0,1].
    """

    def __init__(self, image: FloatImage) -> None:
        self.values: FloatImage = image.mean(axis=0)
        self.inside: Mask = foreground_mask(image)

    @property
    def has_constant_background(self) -> bool:
        """Whether some voxels are not inside; without them the darkest class is the background."""
        return not bool(self.inside.all())

    def parts(self, classes: Classes, n_parts: int, clean: Callable[[Mask], Mask]) -> Parts:
        """Number classes as parts.

        Background is part 0 and the cleaned brightest class the last part. What cleaning takes from that class falls
        to the next one. The classes between them are the parts between, neighbouring ones as one part where they are
        too many; with two parts they are background.

        Args:
            classes: of the voxels inside, in the order of `values[inside]`: 0 … n-1 by rising intensity.
            n_parts: K.
            clean: what is kept of, or added to, the brightest class [Z,Y,X].

        Returns:
            [Z,Y,X] below K.
        """
        if not self.inside.any():
            return np.zeros(self.values.shape, dtype=np.uint16)
        ranks = np.zeros(self.values.shape, dtype=np.intp)
        ranks[self.inside] = classes + self.has_constant_background
        brightest = int(ranks.max())
        bright = clean(ranks == brightest)
        ranks[ranks == brightest] = max(brightest - 1, 0)
        ranks[bright] = brightest
        return _part_of_rank(brightest + 1, n_parts)[ranks]


def _part_of_rank(n_ranks: int, n_parts: int) -> Parts:
    parts = np.zeros(n_ranks, dtype=np.uint16)
    parts[-1] = n_parts - 1
    if n_parts > 2:
        n_between = n_ranks - 2
        parts[1:-1] = 1 + np.arange(n_between) * min(n_parts - 2, n_between) // max(n_between, 1)
    parts[0] = 0
    return parts
