"""How much of the disk the features of the training cases will take, and whether they may."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

from dd_nnunet.core.errors import DiskError
from dd_nnunet.core.plan import ConfigurationPlan
from dd_nnunet.core.units import GB, counted
from dd_nnunet.planning.topology import pad_to_multiple

FLOAT16_BYTES = 2


def features_bytes(configuration: ConfigurationPlan, stages: Sequence[int], n_cases: int) -> int:
    """Bytes on disk of so many cases of the median shape, before compression.

    Features hardly shrink by it; the parts of objects nearly vanish and are not counted.

    Args:
        configuration: of the plan.
        stages: decoder stages that are kept.
        n_cases: training cases.
    """
    plan, diffusion = configuration.features, configuration.diffusion
    pairs = zip(configuration.median_shape_zyx, configuration.patch_size_zyx, strict=True)
    padded = pad_to_multiple([max(n, p) for n, p in pairs], configuration.volume_multiple_zyx)
    voxels, seen = math.prod(padded), math.prod(diffusion.grid_zyx or padded)
    values = 0
    for stage in stages:
        channels = diffusion.channels[max(diffusion.n_stages - stage - 1, 0)]
        kept = min(channels, plan.n_components or channels)
        values += kept * seen // math.prod(diffusion.stage_reduction_zyx(stage))
    if plan.visual_target == "denoised":
        values += len(configuration.normalization) * voxels
    return n_cases * FLOAT16_BYTES * values


def check_room(folder: Path, needed: int, n_cases: int) -> None:
    """Refuse, before hours are spent on them, features that their disk has no room for.

    Raises:
        DiskError: names what they need and what is free.
    """
    place = next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())
    free = shutil.disk_usage(place).free
    if needed > free:
        reason = (
            f"the features of {counted(n_cases, 'training case')} need about {needed / GB:.2g} GB, and "
            f"{free / GB:.2g} GB are free on this disk"
        )
        remedy = (
            "free some, choose another folder with --results, or plan with a larger -overwrite_target_spacing"
        )
        raise DiskError(folder, reason, remedy)
