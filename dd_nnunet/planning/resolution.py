"""The spacing at which a dataset is prepared, and the shapes that follow: nnU-Net's rule.

Source: Isensee et al. 2021 (doi 10.1038/s41592-020-01008-z), "target spacing", and
nnunetv2/experiment_planning/experiment_planners/default_experiment_planner.py.
"""

from collections.abc import Sequence

import numpy as np

from dd_nnunet.core.errors import UserError
from dd_nnunet.core.fingerprint import DatasetFingerprint
from dd_nnunet.core.plan import Zyx
from dd_nnunet.core.units import counted
from dd_nnunet.planning.rounding import rounded

ANISOTROPY = 3.0
SAME_SPACING = 1e-3
MIN_3D_EDGE = 8
# an axis that gets at most half of its voxels is averaged when it is resampled: an interpolation would leave voxels
# out, and fold the noise of all into few
AVERAGED_FROM = 2.0
Millimetres = tuple[float, float, float]


def target_spacing(fingerprint: DatasetFingerprint) -> tuple[Millimetres, str]:
    """The median spacing; a coarse axis gets the 10th percentile of its spacings.

    An axis is coarse when its median spacing is over 3 times that of the others and it has over 3 times
    fewer voxels. Its spacing never falls below that of the other axes.

    Returns:
        The spacing and the reason for it.
    """
    cases = [case for case in fingerprint.cases if not case.constant]
    spacings = np.array([case.spacing_zyx_mm for case in cases])
    sizes = np.median([case.crop_shape_zyx for case in cases], axis=0)
    target = np.median(spacings, axis=0)
    because = f"median over {counted(len(cases), 'case')}"
    coarse = int(np.argmax(target))
    others = np.delete(np.arange(3), coarse)
    if (
        target[coarse] > ANISOTROPY * target[others].max()
        and sizes[coarse] * ANISOTROPY < sizes[others].min()
    ):
        finer = float(np.percentile(spacings[:, coarse], 10))
        target[coarse] = max(finer, target[others].max())
        because += f"; the coarse axis {'zyx'[coarse]} gets its 10th percentile"
    z, y, x = (rounded(float(s), 6) for s in target)
    return (z, y, x), because


def resampled_shape(
    shape_zyx: Sequence[int], spacing_zyx_mm: Sequence[float], target_zyx_mm: Sequence[float]
) -> Zyx:
    """Shape after resampling, at least 1 voxel per axis; an axis within 0.1 % of the target stays."""
    z, y, x = (
        n if abs(s / t - 1) < SAME_SPACING else max(1, round(n * s / t))
        for n, s, t in zip(shape_zyx, spacing_zyx_mm, target_zyx_mm, strict=True)
    )
    return (z, y, x)


def median_shape(fingerprint: DatasetFingerprint, spacing_zyx_mm: Sequence[float]) -> Zyx:
    """Median shape of the crops after resampling.

    Raises:
        UserError: an axis has fewer than 8 voxels, so that the data are slices and not volumes.
    """
    shapes = [
        resampled_shape(case.crop_shape_zyx, case.spacing_zyx_mm, spacing_zyx_mm)
        for case in fingerprint.cases
        if not case.constant
    ]
    z, y, x = (round(float(n)) for n in np.median(shapes, axis=0))
    if min(z, y, x) < MIN_3D_EDGE:
        raise UserError(
            "dataset",
            f"2D data: the median volume is {z} x {y} x {x} voxels; every axis needs at least {MIN_3D_EDGE}",
            "stack the slices into volumes or give a finer -overwrite_target_spacing",
        )
    return (z, y, x)
