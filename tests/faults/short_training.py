"""Three labelled cells, planned and prepared, with a plan that trains in a second."""

from pathlib import Path

import numpy as np
from planned import Faulty, cells, make_faulty

from dd_nnunet.core.plan import Plan
from dd_nnunet.networks.checkpoint import save_checkpoint
from dd_nnunet.networks.segmentation_unet import build_segmenter
from dd_nnunet.storage.atomic import read_record, write_json
from dd_nnunet.storage.volume import read_geometry, write_labels

DESCRIPTION = {"labels": {"background": 0, "cell": 1}, "parts": {"level1": 2, "level2": 2}}
DESCRIPTION["levels"] = {f"level{level}": {"background": [0], "cell": [1]} for level in (1, 2)}
MODEL = "ddTrainer__ddPlans__3d_fullres"
# of dd_train and dd_predict, after their folders
TRAIN = ["5", "3d_fullres", "0", "-device", "cpu", "--no_pbar", "-q"]
PREDICT = ["-d", "5", "-f", "0", "--disable_tta", "-device", "cpu", "--no_pbar", "-q"]


def prepare_training(root: Path, iterations: int = 2) -> Faulty:
    """Two blocks of diffusion training, or as many iterations as asked, and two epochs per level."""
    volumes = cells(3)
    dataset = make_faulty(root, volumes, description=DESCRIPTION)
    for case_id, array in volumes.items():
        geometry = read_geometry(dataset.raw / "imagesTr" / f"{case_id}_0000.nii.gz")
        write_labels(dataset.raw / "labelsTr" / f"{case_id}.nii.gz", (array > 50).astype(np.uint8), geometry)
    assert dataset.run("-q") == 0
    plan = dataset.json("ddPlans.json")
    planned = plan["configurations"]["3d_fullres"]
    planned["diffusion"] |= {"iterations": iterations, "channels": _narrow(planned["diffusion"]["channels"])}
    planned["segmenter"] |= {"epochs": 2, "iterations_per_epoch": 1, "warm_start_epochs": 1}
    planned["segmenter"]["features_per_stage"] = _narrow(planned["segmenter"]["features_per_stage"])
    planned["features"] |= {"n_draws": 1}
    write_json(dataset.preprocessed / "ddPlans.json", plan)
    return dataset


def write_untrained_model(dataset: Faulty) -> Path:
    """A model folder that dd_predict takes: fold 0 with both levels, their weights as they begin."""
    model = dataset.root / "results" / dataset.preprocessed.name / MODEL
    plan = read_record(Plan, dataset.preprocessed / "ddPlans.json")
    write_json(model / "plans.json", plan)
    write_json(model / "dataset.json", dataset.json("dataset.json"))
    configuration = plan.configuration("3d_fullres")
    for level in configuration.levels:
        network = build_segmenter(configuration.segmenter, 1, level.n_parts)
        content = {"network": network.state_dict(), "order": list(range(level.n_parts))}
        save_checkpoint(model / "fold_0" / f"level{level.level}" / "checkpoint_final.pth", content)
    return model


def _narrow(channels: list[int]) -> list[int]:
    return [4 * 2**stage for stage in range(len(channels))]
