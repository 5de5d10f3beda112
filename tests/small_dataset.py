"""A dataset of five tiny noisy cells, planned by hand and prepared."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dd_nnunet.core.case import Geometry
from dd_nnunet.core.plan import (
    ConfigurationPlan,
    DiffusionPlan,
    FeaturePlan,
    LevelPlan,
    NormalizationPlan,
    Plan,
    SegmenterPlan,
)
from dd_nnunet.core.splits import make_folds
from dd_nnunet.preprocessing.case import preprocess_case
from dd_nnunet.storage.atomic import write_json
from dd_nnunet.storage.case_store import Manifest, record_case, write_case
from dd_nnunet.storage.raw_dataset import find_cases, load_description
from dd_nnunet.storage.volume import read_volume, write_image, write_labels
from dd_nnunet.storage.workspace import Workspace

NAME = "Dataset007_Cells"
CASES = ("a", "b", "c", "d", "e")
SPACING_XYZ_MM = (1.0, 1.0, 2.0)
DESCRIPTION = {
    "channel_names": {"0": "light"},
    "labels": {"background": 0, "cell": 1, "nucleus": 2},
    "levels": {
        "level1": {"background": [0], "cell": [1, 2]},
        "level2": {"background": [0], "cytoplasm": [1], "nucleus": [2]},
    },
    "numTraining": 5,
    "file_ending": ".nii.gz",
}
KERNELS = ((3, 3, 3), (3, 3, 3))


def make_plan():
    diffusion = DiffusionPlan((8, 16), ((2, 2, 2),), KERNELS, 250, 1, 1, 1e-4, 0.9)
    features = FeaturePlan((50,), 1, "standardise", 0, "denoised")
    segmenter = SegmenterPlan(
        (8, 16), ((1, 1, 1), (2, 2, 2)), KERNELS, 1, 1, 1, 1, 0, 1e-3, 1.0, 1.0, 1.0, True, (0.9, 1.1)
    )
    configuration = ConfigurationPlan(
        spacing_zyx_mm=SPACING_XYZ_MM[::-1],
        median_shape_zyx=(12, 14, 16),
        patch_size_zyx=(12, 14, 16),
        normalization=(NormalizationPlan("percentile", 0.5, 99.5),),
        precision="float32",
        diffusion=diffusion,
        features=features,
        segmenter=segmenter,
        levels=(LevelPlan(1, 2, (1,)), LevelPlan(2, 3, (2,))),
        gpu_memory_target_gb=8.0,
        estimated_gpu_memory_gb=1.0,
    )
    return Plan(NAME, "ddPlans", "default", "fast", ("light",), {"3d_fullres": configuration}, ())


@dataclass(frozen=True)
class SmallDataset:
    workspace: Workspace

    @property
    def folders(self):
        return self.workspace.dataset(7)

    @property
    def flags(self):
        w = self.workspace
        return [
            "--raw",
            str(w.raw),
            "--preprocessed",
            str(w.preprocessed),
            "--results",
            str(w.results),
            "--no_pbar",
        ]


def true_labels(number):
    labels = np.zeros((12, 14, 16), np.uint8)
    labels[2:10, 3:11, 3 + number % 3 : 12 + number % 3] = 1
    labels[4:8, 5:9, 6:10] = 2
    return labels


def make_dataset(root: Path, labels=True):
    workspace = Workspace(root / "raw", root / "preprocessed", root / "results")
    raw, prepared = workspace.raw / NAME, workspace.preprocessed / NAME
    description = (
        dict(DESCRIPTION)
        if labels
        else {k: v for k, v in DESCRIPTION.items() if k not in ("labels", "levels")}
    )
    write_json(raw / "dataset.json", description)
    geometry = Geometry(
        (16, 14, 12), SPACING_XYZ_MM, (5.0, -3.0, 2.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    )
    for number, case in enumerate(CASES):
        truth = true_labels(number)
        image = np.array([100.0, 500.0, 900.0])[truth] + np.random.default_rng(number).normal(
            0, 60, truth.shape
        )
        write_image(raw / "imagesTr" / f"{case}_0000.nii.gz", image.astype(np.float32), geometry)
        if labels:
            write_labels(raw / "labelsTr" / f"{case}.nii.gz", truth, geometry)
    write_json(prepared / "ddPlans.json", make_plan())
    write_json(prepared / "splits_final.json", make_folds(CASES))
    _prepare(raw, prepared / "ddPlans_3d_fullres")
    return SmallDataset(workspace)


def _prepare(raw, folder):
    configuration = make_plan().configuration("3d_fullres")
    manifest = Manifest()
    for case in find_cases(raw / "imagesTr", load_description(raw)):
        write_case(folder, preprocess_case(read_volume(case.channel_files), case.case_id, configuration))
        manifest = manifest.with_case(
            case.case_id, record_case(case.case_id, case.channel_files, folder, "0" * 64)
        )
    manifest.save(folder)
