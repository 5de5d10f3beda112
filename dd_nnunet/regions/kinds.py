"""Which objects are of the same kind."""

import numpy as np
import numpy.typing as npt

from dd_nnunet.regions.intensity_classes import best_cuts

Floats = npt.NDArray[np.float64]
Kinds = npt.NDArray[np.intp]
MAX_ITERATIONS = 50


def sort_into_kinds(features: Floats, volumes: Floats, n_kinds: int) -> Kinds:
    """k-means of objects, each as heavy as its volume.

    It starts from the best clustering of the objects along their first principal axis. Kinds are numbered by rising
    mean feature.

    Args:
        features: [n,f].
        volumes: [n], above 0.
        n_kinds: fewer objects give fewer kinds.

    Returns:
        [n] 0 … n_kinds-1.
    """
    n_kinds = min(n_kinds, len(features))
    if n_kinds < 2:
        return np.zeros(len(features), dtype=np.intp)
    kinds = _along_principal_axis(features, volumes, n_kinds)
    for _ in range(MAX_ITERATIONS):
        centres = _centres(features, volumes, kinds, n_kinds)
        moved = np.square(features[:, None] - centres).sum(axis=2).argmin(axis=1)
        if np.array_equal(moved, kinds) or len(np.unique(moved)) < n_kinds:
            break
        kinds = moved
    order = np.argsort(_centres(features, volumes, kinds, n_kinds).mean(axis=1), kind="stable")
    return np.asarray(np.argsort(order)[kinds], dtype=np.intp)


def _along_principal_axis(features: Floats, volumes: Floats, n_kinds: int) -> Kinds:
    centred = features - np.average(features, axis=0, weights=volumes)
    axis = np.linalg.svd(centred * np.sqrt(volumes)[:, None], full_matrices=False)[2][0]
    position = centred @ axis
    order = np.argsort(position, kind="stable")
    cuts = best_cuts(position[order], volumes[order], n_kinds)
    kinds = np.empty(len(order), dtype=np.intp)
    kinds[order] = np.searchsorted(cuts, np.arange(len(order)), side="right")
    return kinds


def _centres(features: Floats, volumes: Floats, kinds: Kinds, n_kinds: int) -> Floats:
    members = (kinds == kind for kind in range(n_kinds))
    return np.stack([np.average(features[of], axis=0, weights=volumes[of]) for of in members])
