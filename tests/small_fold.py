"""A fold trained without commands: six noisy balls of 16³ voxels, or of any size, prepared from arrays."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from small_plan import make_configuration
from small_volumes import ONE_MM, straight_grid

from dd_nnunet.core.case import CaseProperties, PreparedCase
from dd_nnunet.core.plan import LevelGroup, LevelPlan, Zyx
from dd_nnunet.core.splits import Fold
from dd_nnunet.networks.device import choose_runtime
from dd_nnunet.storage.case_store import write_case
from dd_nnunet.storage.run_folder import open_run_folder
from dd_nnunet.training.case_reader import CaseReader
from dd_nnunet.training.feature_cache import FeatureCache
from dd_nnunet.training.kept_epoch import LevelResult
from dd_nnunet.training.pretrain_diffusion import load_diffusion, pretrain_diffusion
from dd_nnunet.training.setup import TrainingSetup
from dd_nnunet.training.train_segmenter import train_segmenter

SIZE = 16
CASES = tuple(f"ball_{i}" for i in range(6))
CONFIGURATION = make_configuration(
    spacing_zyx_mm=ONE_MM,
    median_shape_zyx=(SIZE,) * 3,
    patch_size_zyx=(SIZE,) * 3,
    diffusion={"channels": (4, 8), "batch_size": 2, "iterations": 4, "learning_rate": 1e-3},
    features={"n_components": 4},
    segmenter={
        "features_per_stage": (4, 8), "batch_size": 2, "epochs": 4, "iterations_per_epoch": 3,
        "warm_start_epochs": 2, "learning_rate": 1e-2,
    },
)  # fmt: skip


def write_balls(folder: Path, shapes: Sequence[Zyx]) -> None:
    """A brighter ball in each case, noise over it."""
    random = np.random.default_rng(0)
    for case_id, shape in zip(CASES, shapes, strict=True):
        grid = np.indices(shape).astype(float)
        centre = random.uniform(6, 10, 3)[:, None, None, None]
        inside = ((grid - centre) ** 2).sum(axis=0) < random.uniform(4, 6) ** 2
        image = (0.2 + 0.6 * inside + random.normal(0, 0.05, inside.shape)).clip(0, 1)
        properties = CaseProperties(
            case_id=case_id,
            geometry=straight_grid(shape),
            crop_start_zyx=(0, 0, 0),
            crop_stop_zyx=shape,
            prepared_shape_zyx=shape,
            prepared_spacing_zyx_mm=ONE_MM,
            intensity_ranges=((0.0, 1.0),),
        )
        write_case(folder, PreparedCase(image[None].astype(np.float32), properties))


def make_setup(
    folder: Path, seed: int = 0, n_workers: int = 0, shapes: Sequence[Zyx] = ((SIZE,) * 3,) * len(CASES)
) -> TrainingSetup:
    """The setup of a fold of four training and two validation cases; writes the cases if they are missing."""
    if not folder.exists():
        write_balls(folder, shapes)
    return TrainingSetup(
        configuration=CONFIGURATION,
        fold=Fold(CASES[:4], CASES[4:]),
        reader=CaseReader(folder, CONFIGURATION),
        runtime=choose_runtime("cpu", "float32"),
        seed=seed,
        n_workers=n_workers,
        progress_bar=False,
    )


def train_diffusion(setup: TrainingSetup, fold: Path) -> torch.nn.Module:
    with open_run_folder(fold / "diffusion", {"seed": setup.seed}) as run:
        return pretrain_diffusion(setup, run)


def train_level(setup: TrainingSetup, fold: Path, level: LevelPlan) -> LevelResult:
    checkpoint = fold / "diffusion" / "checkpoint_final.pth"
    network = load_diffusion(setup.configuration, 1, checkpoint, setup.runtime)
    cache = FeatureCache(fold / "features", setup, (1, 2))
    cache.build(checkpoint, network)
    with open_run_folder(fold / f"level{level.level}", {"seed": setup.seed}) as run:
        return train_segmenter(setup, LevelGroup((level,)), cache, run)[0]
