"""dd_predict_from_modelfolder with networks that were never trained, on images made of arrays."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dataset_place import MODEL_FOLDER
from small_model import write_segmenters
from small_plan import CONFIGURATION, SPACING_ZYX_MM, make_plan
from small_volumes import write_volume

from dd_nnunet.commands import predict
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.volume import read_label_map

UNLABELLED = {"channel_names": {"0": "light"}, "numTraining": 5, "file_ending": ".nii.gz"}


@dataclass(frozen=True)
class Toy:
    root: Path

    @property
    def model(self):
        return self.root / MODEL_FOLDER

    @property
    def images(self):
        return self.root / "images"

    @property
    def out(self):
        return self.root / "out"

    @property
    def command(self):
        flags = ["-m", self.model, "-i", self.images, "-o", self.out, "-device", "cpu", "--disable_tta"]
        return [*map(str, flags), "--no_pbar"]

    def predict(self, *more):
        return predict.main_from_modelfolder([*self.command, *more])

    def add_image(self, case_id, array, spacing_zyx=SPACING_ZYX_MM, channel=0, ending=".nii.gz"):
        path = self.images / f"{case_id}_{channel:04d}{ending}"
        return write_volume(path, array.astype(np.float32), spacing_zyx)

    def labels(self, level, case_id):
        return read_label_map(self.out / f"level{level}" / f"{case_id}.nii.gz")[0]

    @property
    def record(self):
        return read_json(self.out / "predictions.json")

    @property
    def states(self):
        return {case_id: record["state"] for case_id, record in self.record["cases"].items()}


def noise(number=0, shape=(12, 14, 16)):
    return np.random.default_rng(number).normal(100, 20, shape)


def make_toy(root, n_folds=1, orders=None, levels=CONFIGURATION.levels, patch_zyx=(12, 14, 16)):
    """The tiny plan's model, whose folds all have the same weights; `orders` as in `write_segmenters`."""
    toy = Toy(Path(root))
    plan = make_plan(levels=levels, patch_size_zyx=patch_zyx)
    write_segmenters(toy.model, plan, UNLABELLED, range(n_folds), orders)
    toy.images.mkdir()
    return toy
