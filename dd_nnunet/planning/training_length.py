"""How long is trained: as the preset says, longer where data are large, shorter where the machine is slow."""

import math

from dd_nnunet.core.plan import Zyx
from dd_nnunet.core.splits import N_FOLDS
from dd_nnunet.planning.presets import Preset


def cases_of_a_fold(n_cases: int) -> int:
    """Training cases of the smallest of five folds' trainings."""
    return n_cases - n_cases // N_FOLDS


def stretched(iterations: int, one_pass: float, preset: Preset) -> int:
    """The preset's iterations; one pass if that is more, but at most the preset's `max_stretch` times as many.

    Args:
        iterations: of the preset.
        one_pass: iterations that draw as many voxels as a fold's training cases have (`iterations_of_a_pass`).
        preset: says how far it may stretch.
    """
    return min(max(iterations, math.ceil(one_pass)), preset.max_stretch * iterations)


def iterations_of_a_pass(n_cases: int, median_shape_zyx: Zyx, patch_size_zyx: Zyx, batch_size: int) -> float:
    """Voxels of a fold's training cases over those of a batch.

    Args:
        n_cases: of the dataset.
        median_shape_zyx: of the prepared cases.
        patch_size_zyx: of a batch's volumes.
        batch_size: patches.
    """
    n_patches = math.prod(median_shape_zyx) / math.prod(patch_size_zyx)
    return cases_of_a_fold(n_cases) * max(n_patches, 1.0) / batch_size


def bounded(iterations: int, batch_voxels: int, most_voxels: int | None) -> int:
    """So many iterations, or as many as the voxels of all batches together allow; at least one.

    Args:
        iterations: wished for.
        batch_voxels: voxels of the patches of one batch.
        most_voxels: of all batches; None = no bound.
    """
    return iterations if most_voxels is None else max(1, min(iterations, most_voxels // batch_voxels))
