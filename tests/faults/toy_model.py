"""A model folder of networks that were never trained, and dd_predict_from_modelfolder run with it."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from small_dataset import make_plan

from dd_nnunet.commands import predict
from dd_nnunet.core.case import Geometry
from dd_nnunet.core.plan import LevelPlan
from dd_nnunet.networks.checkpoint import save_checkpoint
from dd_nnunet.networks.segmentation_unet import build_segmenter
from dd_nnunet.storage.atomic import read_json, write_json
from dd_nnunet.storage.volume import read_label_map, write_image

STRAIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
LEVELS = (LevelPlan(1, 2, (1,)), LevelPlan(2, 3, (2,)))


@dataclass(frozen=True)
class Toy:
    root: Path

    @property
    def model(self):
        return self.root / "ddTrainer__ddPlans__3d_fullres"

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

    def add_image(self, case_id, array, spacing_zyx=(2.0, 1.0, 1.0), channel=0, ending=".nii.gz"):
        geometry = Geometry(array.shape[::-1], tuple(spacing_zyx[::-1]), (0.0, 0.0, 0.0), STRAIGHT)
        path = self.images / f"{case_id}_{channel:04d}{ending}"
        write_image(path, array.astype(np.float32), geometry)
        return path

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


def make_model(root, n_folds=1, orders=None, levels=LEVELS, patch_zyx=(12, 14, 16)):
    """A model whose folds all have the same weights per level.

    `orders` gives, by (fold, level), which output of the network is which part.
    """
    toy = Toy(Path(root))
    plan = make_plan()
    configuration = replace(plan.configuration("3d_fullres"), levels=levels, patch_size_zyx=patch_zyx)
    write_json(toy.model / "plans.json", replace(plan, configurations={"3d_fullres": configuration}))
    described = {"channel_names": {"0": "light"}, "numTraining": 5, "file_ending": ".nii.gz"}
    write_json(toy.model / "dataset.json", described)
    for level in levels:
        torch.manual_seed(level.level)
        weights = build_segmenter(configuration.segmenter, 1, level.n_parts).state_dict()
        for fold in range(n_folds):
            order = (orders or {}).get((fold, level.level), range(level.n_parts))
            path = toy.model / f"fold_{fold}" / f"level{level.level}" / "checkpoint_final.pth"
            save_checkpoint(path, {"network": weights, "order": list(order)})
    toy.images.mkdir()
    return toy
