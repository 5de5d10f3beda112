"""A results folder as `dd_train` leaves it, made of balls: cell (1), vesicle (2), granule (3)."""

from dataclasses import dataclass, replace

import numpy as np
from dataset_place import DatasetPlace
from fake_logs import diffusion_log, level_log
from made_fingerprint import make_fingerprint as made_fingerprint
from small_plan import NAME
from small_plan import make_plan as small_plan
from small_volumes import write_label_map, write_volume

from dd_nnunet.core.dataset import describe_dataset
from dd_nnunet.core.plan import Decision, LevelPlan
from dd_nnunet.evaluation.folder import EvaluationRules, evaluate_levels, write_summary
from dd_nnunet.storage.atomic import write_json
from dd_nnunet.storage.run_folder import open_run_folder

SPACING_ZYX_MM = (1.5, 1.0, 1.0)
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
    Decision("patch size", "16 x 16 x 16", "the median case fits whole into 8 GB", "3d_fullres"),
    Decision("parts per level", "2 4", "given by --parts"),
    Decision("timestep", "50", "adds noise of sd 0.17, about twice the noise measured in the data"),
    Decision("stage of level 1", "1 of 3", "nearest a third of the diameter of 20 mm", "3d_fullres"),
)


@dataclass(frozen=True)
class FakeRun(DatasetPlace):
    size: int = 16


def make_dataset(root, size=16, labels=True, description=None):
    """Raw images (and labels), plan, fingerprint and splits; nothing is trained."""
    run = replace(FakeRun.below(root, NAME), size=size)
    written = dict(description or DESCRIPTION)
    if not labels:
        written.pop("labels"), written.pop("levels")
    write_json(run.raw / "dataset.json", written)
    for number, case in enumerate(CASES):
        truth = true_labels(number, size)
        path = run.raw / "imagesTr" / f"{case}_0000.nii.gz"
        write_volume(path, image_of(truth, number), SPACING_ZYX_MM)
        if labels:
            write_label_map(run.raw / "labelsTr" / f"{case}.nii.gz", truth, SPACING_ZYX_MM)
    write_json(run.folders.plans_json("ddPlans"), make_plan(size))
    write_json(run.folders.fingerprint_json, make_fingerprint(size))
    write_json(run.folders.splits_json, [{"train": list(CASES[:2]), "val": list(CASES[2:])}])
    return run


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
        write_label_map(folder / f"{case}.nii.gz", parts, SPACING_ZYX_MM)


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


def make_plan(size):
    """As the commands make one for balls of that size: three stages, 20 epochs of 50 steps."""
    halved, kernels = ((2, 2, 2), (2, 2, 2)), ((3, 3, 3),) * 3
    plan = small_plan(
        spacing_zyx_mm=SPACING_ZYX_MM,
        median_shape_zyx=(size,) * 3,
        patch_size_zyx=(size,) * 3,
        diffusion={
            "strides_zyx": halved, "kernel_sizes_zyx": kernels, "channels": (8, 16, 32), "batch_size": 4,
            "iterations": 1500, "ema_decay": 0.999,
        },
        features={"n_draws": 4, "n_components": 16},
        segmenter={
            "strides_zyx": ((1, 1, 1), *halved), "kernel_sizes_zyx": kernels, "features_per_stage": (8, 16, 32),
            "n_convs_per_stage": 2, "batch_size": 4, "epochs": 20, "iterations_per_epoch": 50, "warm_start_epochs": 4,
            "learning_rate": 3e-4,
        },
        levels=(LevelPlan(1, 2, (1,)), LevelPlan(2, 4, (1, 2))),
        estimated_gpu_memory_gb=1.2,
    )  # fmt: skip
    return replace(plan, channel_names=("brightfield",), decisions=DECISIONS)


def make_fingerprint(size, warnings=()):
    made = made_fingerprint(
        [(size,) * 3] * len(CASES), [SPACING_ZYX_MM] * len(CASES), diameters_mm=(12.0, 4.5)
    )
    cases = tuple(replace(case, case_id=name) for case, name in zip(made.cases, CASES, strict=True))
    return replace(made, cases=cases, warnings=tuple(warnings))


def _write_run(folder, log):
    identity = {"dataset": NAME, "configuration": "3d_fullres", "fold": "0", "seed": 12345, "device": "cpu"}
    with open_run_folder(folder, identity) as run:
        for entry in log:
            run.append_log(entry)
        run.mark_finished({"epochs": len(log)})
