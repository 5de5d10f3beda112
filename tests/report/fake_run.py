"""A results folder as `dd_train` leaves it, made of balls: cell (1), vesicle (2), granule (3)."""

from dataclasses import dataclass

import numpy as np
from fake_logs import diffusion_log, level_log

from dd_nnunet.core.case import Geometry
from dd_nnunet.core.dataset import describe_dataset
from dd_nnunet.core.fingerprint import CaseFingerprint, ChannelFingerprint, DatasetFingerprint
from dd_nnunet.core.plan import (
    ConfigurationPlan,
    Decision,
    DiffusionPlan,
    FeaturePlan,
    LevelPlan,
    NormalizationPlan,
    Plan,
    SegmenterPlan,
)
from dd_nnunet.evaluation.folder import EvaluationRules, evaluate_levels, write_summary
from dd_nnunet.storage.atomic import write_json
from dd_nnunet.storage.run_folder import open_run_folder
from dd_nnunet.storage.volume import write_image, write_labels
from dd_nnunet.storage.workspace import Workspace

NAME = "Dataset007_Cells"
CASES = ("cell_a", "cell_b", "cell_c", "cell_d")
PARTS = {1: 2, 2: 4}
DESCRIPTION = {
    "channel_names": {"0": "brightfield"},
    "labels": {"background": 0, "cell": 1, "vesicle": 2, "granule": 3},
    "levels": {
        "level1": {"background": [0], "cell": [1, 2, 3]},
        "level2": {"background": [0], "cell": [1], "vesicle": [2], "granule": [3]},
    },
    "numTraining": 4,
    "file_ending": ".nii.gz",
}
DECISIONS = (
    Decision("patch size", "16 × 16 × 16", "the median case fits whole into 8 GB"),
    Decision("parts of level 2", "4", "given by --parts"),
    Decision("timestep", "50", "adds noise of sd 0.17, about twice the noise measured in the data"),
    Decision("stage of level 1", "1 (cells of 6 mm)", "nearest a third of the diameter of 20 mm"),
)


@dataclass(frozen=True)
class FakeRun:
    """Where it lies: the workspace, the dataset's folders, and the model of fold 0."""

    workspace: Workspace
    size: int = 16

    @property
    def folders(self):
        return self.workspace.dataset(7)

    @property
    def model(self):
        return self.folders.model("ddPlans", "3d_fullres")

    @property
    def flags(self):
        spaces = {"raw": self.workspace.raw, "preprocessed": self.workspace.preprocessed}
        pairs = [(f"--{name}", str(path)) for name, path in spaces.items()]
        return [flag for pair in [*pairs, ("--results", str(self.workspace.results))] for flag in pair]


def make_dataset(root, size=16, labels=True, description=None):
    """Raw images (and labels), plan, fingerprint and splits; nothing is trained."""
    workspace = Workspace(root / "raw", root / "preprocessed", root / "results")
    written = dict(description or DESCRIPTION)
    if not labels:
        written.pop("labels"), written.pop("levels")
    raw, prepared = workspace.raw / NAME, workspace.preprocessed / NAME
    write_json(raw / "dataset.json", written)
    for number, case in enumerate(CASES):
        truth = true_labels(number, size)
        write_image(raw / "imagesTr" / f"{case}_0000.nii.gz", image_of(truth, number), geometry_of(size))
        if labels:
            write_labels(raw / "labelsTr" / f"{case}.nii.gz", truth, geometry_of(size))
    write_json(prepared / "ddPlans.json", make_plan(size))
    write_json(prepared / "dataset_fingerprint.json", make_fingerprint(size))
    write_json(prepared / "splits_final.json", [{"train": list(CASES[:2]), "val": list(CASES[2:])}])
    return FakeRun(workspace, size)


def train_diffusion(run):
    """The diffusion folder of fold 0."""
    _write_run(run.model / "fold_0" / "diffusion", diffusion_log())


def train_level(run, level, dies=False, n_errors=40):
    """A level's folder of fold 0, with predictions of the held-out cases: the truth, some voxels wrong."""
    folder = run.model / "fold_0" / f"level{level}"
    _write_run(folder, level_log(PARTS[level], dies=dies))
    predict(run, folder / "validation", level, n_errors)
    write_json(
        folder / "validation" / "part_numbering.json", {"network_channel_of_part": [*range(PARTS[level])]}
    )


def predict(run, folder, level, n_errors):
    for number, case in list(enumerate(CASES))[2:]:
        parts = np.minimum(true_labels(number, run.size), PARTS[level] - 1)
        random = np.random.default_rng(number)
        place = tuple(random.integers(0, run.size, (3, n_errors)))
        parts[place] = random.integers(0, PARTS[level], n_errors)
        write_labels(folder / f"{case}.nii.gz", parts, geometry_of(run.size))


def score(run, model=None):
    """summary.json of both levels, by the real evaluation."""
    fold = (model or run.model) / "fold_0"
    folders = {level: fold / f"level{level}" / "validation" for level in PARTS}
    truth = run.folders.labels_tr
    summaries = evaluate_levels(
        folders, truth, describe_dataset(DESCRIPTION, "test"), PARTS, EvaluationRules(CASES[2:])
    )
    for level, summary in summaries.items():
        write_summary(folders[level], summary)


def add_baseline(run, method, n_errors):
    """A baseline beside the model, with its scores."""
    folder = run.folders.baseline(method, "ddPlans", "3d_fullres")
    for level in PARTS:
        predict(run, folder / "fold_0" / f"level{level}" / "validation", level, n_errors)
    score(run, folder)


def make_whole(root, size=16, dies=False):
    """Everything: both levels trained, scored, and two baselines."""
    run = make_dataset(root, size)
    train_diffusion(run)
    train_level(run, 1)
    train_level(run, 2, dies=dies)
    score(run)
    add_baseline(run, "kmeans", 30 * size)
    add_baseline(run, "denoise-kmeans", 8 * size)
    return run


def true_labels(number, size):
    """[Z,Y,X]: a cell with one vesicle and one granule, a little elsewhere in every case."""
    z, y, x = np.indices((size, size, size)) / size
    shift = 0.02 * number

    def ball(centre, radius):
        cz, cy, cx = centre
        return (z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < radius**2

    labels = np.zeros((size, size, size), dtype=np.uint8)
    labels[ball((0.5, 0.5 + shift, 0.5), 0.4)] = 1
    labels[ball((0.6, 0.4 + shift, 0.35), 0.16)] = 2
    labels[ball((0.42, 0.6 + shift, 0.65), 0.11)] = 3
    return labels


def image_of(labels, number):
    noise = np.random.default_rng(100 + number).normal(0, 0.05, labels.shape)
    return (np.array([0.05, 0.4, 0.6, 0.8])[labels] + noise).astype(np.float32)[None][0]


def geometry_of(size):
    return Geometry(
        (size,) * 3, (1.0, 1.0, 1.5), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    )


def make_plan(size):
    strides, kernels = ((2, 2, 2), (2, 2, 2)), ((3, 3, 3),) * 3
    configuration = ConfigurationPlan(
        spacing_zyx_mm=(1.5, 1.0, 1.0),
        median_shape_zyx=(size,) * 3,
        patch_size_zyx=(size,) * 3,
        normalization=(NormalizationPlan("percentile", 0.5, 99.5),),
        precision="float32",
        diffusion=DiffusionPlan((8, 16, 32), strides, kernels, 250, 4, 1500, 1e-4, 0.999),
        features=FeaturePlan((50,), 4, "standardise", 16, "denoised"),
        segmenter=SegmenterPlan(
            (8, 16, 32), strides, kernels, 2, 4, 20, 50, 4, 3e-4, 1.0, 1.0, 1.0, True, (0.9, 1.1)
        ),
        levels=(LevelPlan(1, 2, (1,)), LevelPlan(2, 4, (1, 2))),
        gpu_memory_target_gb=8.0,
        estimated_gpu_memory_gb=1.2,
    )
    return Plan(
        NAME, "ddPlans", "default", "fast", ("brightfield",), {"3d_fullres": configuration}, DECISIONS
    )


def make_fingerprint(size, warnings=()):
    channel = ChannelFingerprint(0.0, 0.02, 0.3, 0.7, 0.9, 0.3, 0.2, 0.08, -1.1, 2.3, 1.4, 2, 3.1)
    cases = tuple(
        CaseFingerprint(
            case,
            (size,) * 3,
            (1.5, 1.0, 1.0),
            "LPS",
            ("float32",),
            (0, 0, 0),
            (size,) * 3,
            (channel,),
            1.0,
            (12.0, 4.5),
            4.0,
            11.0,
            (0.4, 0.3, 0.2),
            False,
        )
        for case in CASES
    )
    return DatasetFingerprint(
        cases, (size,) * 3, (1.5, 1.0, 1.0), 1.5, 0.083, -1.1, 2.3, (12.0, 4.5), tuple(warnings)
    )


def _write_run(folder, log):
    identity = {"dataset": NAME, "configuration": "3d_fullres", "fold": "0", "seed": 12345, "device": "cpu"}
    with open_run_folder(folder, identity) as run:
        for entry in log:
            run.append_log(entry)
        run.mark_finished({"epochs": len(log)})
