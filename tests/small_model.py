"""A model folder as dd_train leaves it, of networks that were never trained: made in a moment."""

from pathlib import Path

import torch
from dataset_place import MODEL_FOLDER
from small_plan import DESCRIPTION, FINGERPRINT, NAME, make_plan

from dd_nnunet.networks.checkpoint import save_checkpoint
from dd_nnunet.networks.diffusion_unet import DiffusionUNet
from dd_nnunet.networks.segmentation_unet import build_group_segmenter
from dd_nnunet.storage.atomic import write_json

MODEL = f"{NAME}/{MODEL_FOLDER}"


def make_model(results: Path, folds=(0, 1), seed=0) -> Path:
    """The tiny plan's: levels 1 (2 parts) and 2 (3 parts) of each fold, in turned order, and its diffusion model."""
    folder, plan = results / MODEL, make_plan()
    levels = plan.configuration("3d_fullres").levels
    turned = {(fold, level.level): range(level.n_parts)[::-1] for fold in folds for level in levels}
    write_segmenters(folder, plan, DESCRIPTION, folds, turned, seed)
    write_json(folder / "dataset_fingerprint.json", FINGERPRINT)
    for fold in folds:
        diffusion = DiffusionUNet(plan.configuration("3d_fullres").diffusion, 1).state_dict()
        path = folder / f"fold_{fold}" / "diffusion" / "checkpoint_final.pth"
        save_checkpoint(path, {"network": diffusion, "iteration": 1})
    return folder


def write_segmenters(folder: Path, plan, description, folds=(0,), orders=None, seed=0) -> None:
    """As much of any plan's model as prediction needs; a level has the same weights in all folds.

    `orders` gives, by (fold, level), which output of the network is which part.
    """
    write_json(folder / "plans.json", plan)
    write_json(folder / "dataset.json", description)
    configuration = plan.configuration("3d_fullres")
    for group in configuration.groups:
        level = group.levels[0].level
        torch.manual_seed(seed + level)
        weights = build_group_segmenter(configuration.segmenter, 1, group).state_dict()
        for fold in folds:
            order = list((orders or {}).get((fold, level), range(group.tree.n_channels)))
            content = {"network": weights, "order": order, "epoch": 0}
            save_checkpoint(folder / f"fold_{fold}" / group.folder / "checkpoint_final.pth", content)


def contents_of(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder: bytes per file, None per folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }
