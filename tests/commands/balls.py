"""A raw dataset of balls on an odd grid, which goes the whole way through the commands."""

from pathlib import Path

import numpy as np
from dataset_place import DatasetPlace
from small_plan import shorten_plan

from dd_nnunet.core.case import Geometry
from dd_nnunet.storage.atomic import write_json
from dd_nnunet.storage.volume import write_image, write_labels

NAME = "Dataset042_Balls"
# turned and shifted, with three different spacings
GEOMETRY = Geometry((16, 18, 20), (1.0, 1.5, 2.0), (5.0, -3.0, 7.0), (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
DESCRIPTION = {
    "channel_names": {"0": "light"},
    "labels": {"background": 0, "shell": 1, "core": 2},
    "levels": {
        "level1": {"background": [0], "ball": [1, 2]},
        "level2": {"background": [0], "shell": [1], "core": [2]},
    },
    "parts": {"level1": 2, "level2": 3},
    "numTraining": 5,
    "file_ending": ".nii.gz",
}


class Way(DatasetPlace):
    @property
    def flags(self) -> list[str]:
        return [*super().flags, "-q"]


def way_below(root: Path) -> Way:
    return Way.below(root, NAME)


def write_balls(raw: Path) -> None:
    random = np.random.default_rng(0)
    grid = np.indices((20, 18, 16)).astype(float)
    for index in range(5):
        centre = random.uniform(7, 10, 3)[:, None, None, None]
        distance = np.sqrt(((grid - centre) ** 2).sum(axis=0))
        labels = (distance < 6).astype(np.uint8) + (distance < 2.5)
        image = 100 * labels + random.normal(0, 10, labels.shape)
        write_image(raw / "imagesTr" / f"ball_{index}_0000.nii.gz", image.astype(np.float32), GEOMETRY)
        write_labels(raw / "labelsTr" / f"ball_{index}.nii.gz", labels, GEOMETRY)
    write_json(raw / "dataset.json", DESCRIPTION)


def shorten(way: Way) -> None:
    """Of the plan that the command has made, what trains in seconds."""
    shorten_plan(way.folders.plans_json("ddPlans"), iterations=4, iterations_per_epoch=2)
