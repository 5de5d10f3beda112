"""Small components of parts, given to what lies around them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dd_nnunet.regions.morphology import without_small_beside_largest

Labels = npt.NDArray[np.unsignedinteger]


def absorb_small_components(
    labels: Labels,
    above: Labels | None,
    parents: Sequence[int],
    smallest_share: float,
    spacing_zyx_mm: Sequence[float],
) -> Labels:
    """Parts of a level without small connected components (by faces), which become what is nearest to them.

    What lies in a part above stays in it: a component goes to another child of it.

    Args:
        labels: [Z,Y,X] parts of the level.
        above: [Z,Y,X] parts of the level before; None where there is none.
        parents: of each part the number of the part above that it lies in; of a first level all 0.
        smallest_share: components with fewer voxels than this share of the part's largest one are small; 0 to 1.
        spacing_zyx_mm: in which "nearest" is measured.

    Returns:
        [Z,Y,X]; every part that had voxels keeps some.
    """
    labels = labels.copy()
    for parent in sorted(set(parents)):
        inside = np.ones(labels.shape, bool) if above is None else above == parent
        if parents.count(parent) == 1 or not inside.any():
            continue
        (box,) = ndimage.find_objects(inside.view(np.uint8))
        here, its = labels[box], inside[box]
        settled = np.zeros(here.shape, bool)
        for part, its_parent in enumerate(parents):
            if its_parent == parent:
                settled |= without_small_beside_largest(its & (here == part), smallest_share)
        small = its & ~settled
        if small.any():
            nearest = ndimage.distance_transform_edt(
                ~settled, spacing_zyx_mm, return_distances=False, return_indices=True
            )
            here[small] = here[tuple(nearest[:, small])]
    return labels
