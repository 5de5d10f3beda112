"""A dataset of five tiny noisy cells, planned by hand and prepared, which dd_train goes through in a second."""

from pathlib import Path

import numpy as np
from dataset_place import DatasetPlace
from small_plan import DESCRIPTION, FINGERPRINT, NAME, SPACING_ZYX_MM, make_plan
from small_volumes import write_label_map, write_volume

from dd_nnunet.commands import train
from dd_nnunet.core.splits import make_folds
from dd_nnunet.preprocessing.case import preprocess_case
from dd_nnunet.storage.atomic import write_json
from dd_nnunet.storage.case_store import Manifest, record_case, write_case
from dd_nnunet.storage.raw_dataset import find_cases, load_description
from dd_nnunet.storage.volume import read_volume

CASES = ("a", "b", "c", "d", "e")
ORIGIN_XYZ_MM = (5.0, -3.0, 2.0)


class SmallDataset(DatasetPlace):
    @property
    def fold(self):
        """What `train` trains."""
        return self.model / "fold_all"

    def arguments(self, *more):
        return ["7", "3d_fullres", "all", "-device", "cpu", *self.flags, *more]

    def train(self, *more):
        return train.main(self.arguments(*more))

    def write_plan(self, **changes):
        """The tiny plan with other values."""
        write_json(self.folders.plans_json("ddPlans"), make_plan(**changes))


def true_labels(number):
    labels = np.zeros((12, 14, 16), np.uint8)
    labels[2:10, 3:11, 3 + number % 3 : 12 + number % 3] = 1
    labels[4:8, 5:9, 6:10] = 2
    return labels


def make_dataset(root: Path, labels=True):
    dataset = SmallDataset.below(root, NAME)
    description = {k: v for k, v in DESCRIPTION.items() if labels or k not in ("labels", "levels")}
    for folder in (dataset.raw, dataset.preprocessed):
        write_json(folder / "dataset.json", description)
    for number, case in enumerate(CASES):
        truth = true_labels(number)
        noise = np.random.default_rng(number).normal(0, 60, truth.shape)
        image = (np.array([100.0, 500.0, 900.0])[truth] + noise).astype(np.float32)
        path = dataset.raw / "imagesTr" / f"{case}_0000.nii.gz"
        write_volume(path, image, SPACING_ZYX_MM, ORIGIN_XYZ_MM)
        if labels:
            path = dataset.raw / "labelsTr" / f"{case}.nii.gz"
            write_label_map(path, truth, SPACING_ZYX_MM, ORIGIN_XYZ_MM)
    dataset.write_plan()
    write_json(dataset.folders.fingerprint_json, FINGERPRINT)
    write_json(dataset.folders.splits_json, make_folds(CASES))
    _prepare(dataset.raw, dataset.folders.prepared("ddPlans", "3d_fullres"))
    return dataset


def _prepare(raw, folder):
    configuration = make_plan().configuration("3d_fullres")
    manifest = Manifest()
    for case in find_cases(raw / "imagesTr", load_description(raw)):
        write_case(folder, preprocess_case(read_volume(case.channel_files), case.case_id, configuration))
        manifest = manifest.with_case(
            case.case_id, record_case(case.case_id, case.channel_files, folder, "0" * 64)
        )
    manifest.save(folder)


def make_trainable(root, monkeypatch):
    """The dataset, with diffusion epochs of three steps instead of one, so that there is a middle to stop in."""
    monkeypatch.setattr("dd_nnunet.training.pretrain_diffusion.BLOCKS", 2)
    return make_dataset(root)
