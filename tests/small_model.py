"""A model folder as dd_train leaves it, with random weights instead of trained ones: made in a moment."""

from pathlib import Path

import torch
from small_dataset import DESCRIPTION, NAME, make_plan

from dd_nnunet.core.fingerprint import CaseFingerprint, ChannelFingerprint, DatasetFingerprint
from dd_nnunet.networks.checkpoint import save_checkpoint
from dd_nnunet.networks.diffusion_unet import DiffusionUNet
from dd_nnunet.networks.segmentation_unet import build_segmenter
from dd_nnunet.storage.atomic import write_json

MODEL = f"{NAME}/ddTrainer__ddPlans__3d_fullres"


def make_model(results: Path, folds=("0", "1"), seed=0) -> Path:
    """Levels 1 (2 parts) and 2 (3 parts) of each fold, and its diffusion model."""
    folder = results / MODEL
    plan = make_plan()
    configuration = plan.configuration("3d_fullres")
    write_json(folder / "plans.json", plan)
    write_json(folder / "dataset.json", DESCRIPTION)
    write_json(folder / "dataset_fingerprint.json", make_fingerprint())
    torch.manual_seed(seed)
    for fold in folds:
        for level in configuration.levels:
            network = build_segmenter(configuration.segmenter, 1, level.n_parts)
            content = {
                "network": network.state_dict(),
                "order": list(range(level.n_parts))[::-1],
                "epoch": 0,
                "shares": [1 / level.n_parts] * level.n_parts,
            }
            save_checkpoint(folder / f"fold_{fold}" / f"level{level.level}" / "checkpoint_final.pth", content)
        diffusion = DiffusionUNet(configuration.diffusion, 1).state_dict()
        path = folder / f"fold_{fold}" / "diffusion" / "checkpoint_final.pth"
        save_checkpoint(path, {"network": diffusion, "iteration": 1})
    return folder


def make_fingerprint():
    channel = ChannelFingerprint(0.0, 50.0, 300.0, 800.0, 950.0, 350.0, 250.0, 0.08, -1.0, 3.0, 1.1, 2, 4.0)
    shape = (12, 14, 16)
    case = CaseFingerprint(
        "a", shape, (2.0, 1.0, 1.0), "LPS", ("float32",), (0, 0, 0), shape, (channel,),
        1.0, (8.0,), 4.0, 9.0, (0.3, 0.2, 0.1), False,
    )  # fmt: skip
    return DatasetFingerprint((case,), shape, (2.0, 1.0, 1.0), 2.0, 0.08, -1.0, 3.0, (8.0,), ())


def contents_of(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder: bytes per file, None per folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }
