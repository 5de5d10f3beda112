"""Volumes and a configuration for tests of preprocessing."""

from dataclasses import replace

import numpy as np
from small_dataset import make_plan

from dd_nnunet.core.case import Geometry, Volume
from dd_nnunet.core.plan import NormalizationPlan

STRAIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def configuration_at(spacing_zyx_mm, n_channels=1):
    plan = make_plan().configuration("3d_fullres")
    normalization = (NormalizationPlan("percentile", 0.5, 99.5),) * n_channels
    return replace(plan, spacing_zyx_mm=spacing_zyx_mm, normalization=normalization)


CONFIGURATION = configuration_at((1.0, 1.0, 1.0))


def make_volume(array, spacing_zyx=(1.0, 1.0, 1.0), warnings=()):
    array = np.asarray(array, np.float32)
    array = array if array.ndim == 4 else array[None]
    geometry = Geometry(array.shape[:0:-1], spacing_zyx[::-1], (0.0, 0.0, 0.0), STRAIGHT)
    return Volume(array, geometry, ("float32",) * len(array), warnings)
