"""A volume in memory and a configuration of 1 mm."""

from dataclasses import replace

from small_dataset import make_plan

from dd_nnunet.core.case import Geometry, Volume

STRAIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
CONFIGURATION = replace(make_plan().configuration("3d_fullres"), spacing_zyx_mm=(1.0, 1.0, 1.0))


def volume_of(array, spacing_zyx=(1.0, 1.0, 1.0)):
    geometry = Geometry(array.shape[::-1], tuple(spacing_zyx[::-1]), (0.0, 0.0, 0.0), STRAIGHT)
    return Volume(array[None], geometry, (str(array.dtype),))
