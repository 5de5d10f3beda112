"""Folders of small label maps."""

import numpy as np
from small_plan import DESCRIPTION
from small_volumes import write_label_map

from dd_nnunet.core.dataset import describe_dataset

ENDING = ".nii.gz"


def description(labels=DESCRIPTION["labels"], levels=DESCRIPTION["levels"]):
    data = {"channel_names": {"0": "x"}, "file_ending": ENDING, "labels": labels}
    if levels is not None:
        data["levels"] = levels
    return describe_dataset(data, "dataset.json")


def write(folder, **maps):
    """Write {case}.nii.gz for each array [Z,Y,X]."""
    for case, labels in maps.items():
        write_label_map(folder / f"{case}{ENDING}", labels)


def cell(nucleus=2, shift=0, size=8):
    """A 4×4×4 cell of label 1 that holds a 2×2×2 nucleus; everything may be shifted along x."""
    labels = np.zeros((size, size, size), np.uint8)
    labels[2:6, 2:6, 2 + shift : 6 + shift] = 1
    labels[3:5, 3:5, 3 + shift : 5 + shift] = nucleus
    return labels
