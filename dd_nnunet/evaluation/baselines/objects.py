"""Baseline `objects`: what the training of the first levels starts from."""

from collections.abc import Sequence

import numpy as np

from dd_nnunet.core.plan import ConfigurationPlan, LevelPlan
from dd_nnunet.evaluation.baselines.kmeans import FloatImage, Parts
from dd_nnunet.regions.nested_parts import nested_parts

OBJECTS = "objects"


def segment_objects(
    image: FloatImage, levels: Sequence[LevelPlan], configuration: ConfigurationPlan
) -> tuple[Parts, ...]:
    """Objects within objects of one prepared case.

    Args:
        image: [1,Z,Y,X] in [0,1].
        levels: that start from objects.
        configuration: has them planned.

    Returns:
        Per level the parts [Z,Y,X].
    """
    assert configuration.objects is not None, "only levels that start from objects are asked for"
    found = nested_parts(image[0], configuration.objects, configuration.spacing_zyx_mm)
    return tuple(found[level.level - 1].astype(np.uint16) for level in levels)
