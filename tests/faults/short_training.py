"""Three labelled cells, planned and prepared by the command; the plan is then made small, to train at once."""

from pathlib import Path

import numpy as np
from planned import Faulty, make_faulty
from small_model import write_segmenters
from small_plan import shorten_plan
from small_volumes import cells, write_label_map

from dd_nnunet.core.plan import Plan
from dd_nnunet.storage.atomic import read_json, read_record, write_json

DESCRIPTION = {"labels": {"background": 0, "cell": 1}, "parts": {"level1": 2, "level2": 3}}
DESCRIPTION["levels"] = {f"level{level}": {"background": [0], "cell": [1]} for level in (1, 2)}
# of dd_train and dd_predict, after their folders
TRAIN = ["5", "3d_fullres", "0", "-device", "cpu", "--no_pbar", "-q"]
PREDICT = ["-d", "5", "-f", "0", "--disable_tta", "-device", "cpu", "--no_pbar", "-q"]


def prepare_training(root: Path, iterations: int = 2, nested: bool = True) -> Faulty:
    """Two blocks of diffusion training, or as many iterations as asked, and two epochs per level."""
    volumes = cells(3)
    dataset = make_faulty(root, volumes, description=DESCRIPTION)
    for case_id, array in volumes.items():
        labels = (array > 50).astype(np.uint8)
        write_label_map(dataset.raw / "labelsTr" / f"{case_id}.nii.gz", labels)
    assert dataset.run("-q") == 0
    path = dataset.folders.plans_json("ddPlans")
    shorten_plan(path, iterations, iterations_per_epoch=1)
    plan = read_json(path)
    plan["configurations"]["3d_fullres"]["segmenter"]["nested"] = nested
    write_json(path, plan)
    return dataset


def write_untrained_model(dataset: Faulty) -> None:
    """Its model folder as dd_predict takes it: fold 0 with both levels, their weights as they begin."""
    plan = read_record(Plan, dataset.folders.plans_json("ddPlans"))
    write_segmenters(dataset.model, plan, dataset.json("dataset.json"))
