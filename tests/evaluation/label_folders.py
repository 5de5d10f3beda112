"""Folders of small label maps."""

import numpy as np

from dd_nnunet.core.case import Geometry
from dd_nnunet.core.dataset import describe_dataset
from dd_nnunet.storage.volume import write_labels

ENDING = ".nii.gz"
LABELS = {"background": 0, "cell": 1, "nucleus": 2}
LEVELS = {
    "level1": {"background": [0], "cell": [1, 2]},
    "level2": {"background": [0], "cytoplasm": [1], "nucleus": [2]},
}


def description(labels=LABELS, levels=LEVELS):
    data = {"channel_names": {"0": "x"}, "file_ending": ENDING, "labels": labels}
    if levels is not None:
        data["levels"] = levels
    return describe_dataset(data, "dataset.json")


def geometry(shape_zyx, spacing_zyx_mm=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), direction=None):
    identity = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    return Geometry(shape_zyx[::-1], spacing_zyx_mm[::-1], origin, direction or identity)


def write(folder, **maps):
    """Write {case}.nii.gz for each array [Z,Y,X]."""
    for case, labels in maps.items():
        write_labels(folder / f"{case}{ENDING}", labels, geometry(labels.shape))


def cell(nucleus=2, shift=0, size=8):
    """A 4×4×4 cell of label 1 that holds a 2×2×2 nucleus; everything may be shifted along x."""
    labels = np.zeros((size, size, size), np.uint8)
    labels[2:6, 2:6, 2 + shift : 6 + shift] = 1
    labels[3:5, 3:5, 3 + shift : 5 + shift] = nucleus
    return labels
