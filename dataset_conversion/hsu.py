"""The synthetic cells of Hsu et al. (NeurIPS 2021, arXiv 2012.01644), from their pickles.

`im_{i}.p` is a volume, `truth_bg_{i}.p`, `truth_sc_{i}.p` and `truth_all_{i}.p` are its true levels 1, 2 and 3;
each split has its folder, numbered from 0. Source: README and loaders of the authors' repository.
"""

import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dataset_conversion.cases import convert_each, origin_of, write_record
from dataset_conversion.numpy_pickle import read_array
from dataset_conversion.raw_folder import (
    FILE_ENDING,
    plain_geometry,
    write_channels,
    write_dataset_json,
    write_given_splits,
)
from dd_nnunet.core.errors import UserError, joined
from dd_nnunet.core.splits import Fold
from dd_nnunet.core.units import counted
from dd_nnunet.storage.volume import write_labels

# below the logger that the commands set up
LOGGER = logging.getLogger(f"dd_nnunet.{__name__}")

IMAGE = re.compile(r"im_(\d{1,6})\.p")
TRUTHS = ("bg", "sc", "all")
# how the folders of the splits may be called
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
# the originals have 8
MOST_CLASSES = 64
EXPECTED = "expected folders train, val and test with im_0.p, truth_bg_0.p, truth_sc_0.p, truth_all_0.p, …"
# the true classes of a voxel at the levels 1, 2 and 3
Classes = tuple[float, ...]


@dataclass(frozen=True)
class _Case:
    """The files of a volume: `truths` are empty where none of the three is there."""

    case_id: str
    split: str
    image: Path
    truths: tuple[Path, ...]


def convert_hsu(source: Path, target: Path, show_progress: bool = False) -> tuple[int, int]:
    """Write the volumes as float32 with a spacing of 1 mm, their labels, dataset.json and the published split.

    A label stands for one combination of the classes of the three levels; dataset.json says which labels make up
    each class. Nested levels, as the data have them, give as many labels as level 3 has classes.

    Returns:
        The numbers of cases in imagesTr and in imagesTs.

    Raises:
        UserError: no case; `ManyErrors` with every missing file, else with every file that is no plain array of the
            volume's shape.
        DiskError: no space left.
    """
    cases = _find_cases(source)
    combinations: set[Classes] = set()

    def look(case: _Case) -> None:
        combinations.update(_combinations(case))

    errors = convert_each([case for case in cases if case.truths], look)
    if errors:
        raise joined(errors)
    labels = {classes: label for label, classes in enumerate(sorted(combinations))}
    entries: dict[str, Any] = {}

    def convert(case: _Case) -> None:
        entries[case.case_id] = _convert_case(case, labels, target)

    errors = convert_each(cases, convert, show_progress)
    if errors:
        raise joined(errors)
    write_record(target, entries)
    train, val, test = (
        tuple(c.case_id for c in cases if c.split == split) for split in ("train", "val", "test")
    )
    if train and val:
        write_given_splits(target, [Fold(train, val)])
    names = {("background" if i == 0 else f"label_{i}"): i for i in labels.values()}
    write_dataset_json(target, ["synthetic"], len(train) + len(val), names, _notes(labels))
    return len(train) + len(val), len(test)


def _find_cases(source: Path) -> list[_Case]:
    """The cases of all splits; a folder without splits is one to train on."""
    if not source.is_dir():
        raise UserError(source, "is no folder", EXPECTED)
    folders = {
        f: SPLITS[f.name.lower()] for f in sorted(source.iterdir()) if f.is_dir() and f.name.lower() in SPLITS
    }
    cases, errors = [], []
    for folder, split in (folders or {source: "train"}).items():
        matches = ((path, IMAGE.fullmatch(path.name)) for path in folder.iterdir())
        numbered = sorted((int(match[1]), path) for path, match in matches if match)
        for number, image in numbered:
            truths = [image.with_name(f"truth_{level}_{image.name[3:]}") for level in TRUTHS]
            missing = [path for path in truths if not path.is_file()]
            if len(missing) < len(truths):
                errors += [
                    UserError(p, "is missing, other levels are there", "unpack the data again")
                    for p in missing
                ]
            cases.append(_Case(f"{split}_{number:03d}", split, image, () if missing else tuple(truths)))
    twice = [case_id for case_id, n in Counter(case.case_id for case in cases).items() if n > 1]
    errors += [UserError(source, f"has two volumes {case_id}", "remove one of them") for case_id in twice]
    if errors:
        raise joined(errors)
    if not any(case.split != "test" for case in cases):
        raise UserError(source, "holds no im_0.p to train on", EXPECTED)
    without = [case.case_id for case in cases if not case.truths]
    if without:
        n_cases = counted(len(without), "case", ("has", "have"))
        LOGGER.warning("%s: %s no truth, e.g. %s", source, n_cases, without[0])
    return cases


def _convert_case(case: _Case, labels: dict[Classes, int], target: Path) -> dict[str, Any]:
    """Write one case; returns its entry of conversion.json."""
    image = _read(case.image)
    part = "Ts" if case.split == "test" else "Tr"
    geometry = plain_geometry(image.shape)
    if case.truths:
        truths = _read_truths(case, image.shape)
        label_map = np.zeros(image.shape, np.uint8)
        for classes in _distinct(truths):
            is_here = np.all(truths == np.reshape(classes, (-1, 1, 1, 1)), axis=0)
            label_map[is_here] = labels[classes]
        write_labels(target / f"labels{part}" / f"{case.case_id}{FILE_ENDING}", label_map, geometry)
    write_channels(target / f"images{part}", case.case_id, [image.astype(np.float32)], geometry)
    files = {"files": origin_of([case.image]), "labels": origin_of(case.truths)}
    return {"name": f"{case.image.parent.name}/{case.image.name}", **files, "warnings": []}


def _combinations(case: _Case) -> set[Classes]:
    found = _distinct(_read_truths(case, _read(case.image).shape))
    if len(found) > MOST_CLASSES:
        reason = f"with its other levels holds {len(found)} classes, at most {MOST_CLASSES} are expected"
        raise UserError(case.truths[-1], reason, "check where the file comes from")
    return found


def _distinct(truths: npt.NDArray[np.float64]) -> set[Classes]:
    """The combinations of classes that occur in the levels [3,Z,Y,X]."""
    return {tuple(map(float, column)) for column in np.unique(truths.reshape(len(truths), -1), axis=1).T}


def _read_truths(case: _Case, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """The three levels [3,Z,Y,X]."""
    truths = []
    for path in case.truths:
        truth = _read(path)
        if truth.shape != shape:
            raise UserError(path, f"has the shape {truth.shape}, {case.image.name} has {shape}", EXPECTED)
        truths.append(truth.astype(np.float64))
    return np.stack(truths)


def _read(path: Path) -> npt.NDArray[Any]:
    """An array [Z,Y,X] of finite numbers."""
    array = read_array(path)
    if array.ndim != 3 or 0 in array.shape:
        raise UserError(path, f"has the shape {array.shape}, three axes are expected", EXPECTED)
    if not np.isfinite(array).all():
        raise UserError(path, "holds numbers that are not finite", "unpack the data again")
    return array


def _notes(labels: dict[Classes, int]) -> dict[str, Any]:
    """What dataset.json says beside channels and labels: the classes of each level."""
    notes: dict[str, Any] = {
        "description": "synthetic cells with three nested levels, of Hsu et al. 2021 (arXiv 2012.01644)",
        "licence": "none was found beside the data; ask its authors before you pass it on",
    }
    if labels:
        levels = {f"level{i + 1}": _classes(labels, i) for i in range(len(TRUTHS))}
        notes |= {"parts": {name: len(classes) for name, classes in levels.items()}, "levels": levels}
    return notes


def _classes(labels: dict[Classes, int], level: int) -> dict[str, Sequence[int]]:
    """The labels of each class of a level, by the class's name."""
    values = sorted({classes[level] for classes in labels})
    return {
        ("background" if i == 0 else f"class_{i}"): [
            label for c, label in labels.items() if c[level] == value
        ]
        for i, value in enumerate(values)
    }
