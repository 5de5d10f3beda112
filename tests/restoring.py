"""Part probabilities that are held whole, carried to the raw grid."""

import numpy as np

from dd_nnunet.core.part_tree import PartTree
from dd_nnunet.preprocessing.case import restore_slices


def restore_probabilities(probabilities, properties):
    """Of [K,Z,Y,X] on the prepared grid: the most probable parts [Z,Y,X] on the raw one."""
    assert probabilities.shape[1:] == properties.prepared_shape_zyx
    return restore_slices(np.moveaxis(probabilities, 1, 0), PartTree((len(probabilities),)), properties)[0]
