"""BraTS 2019, from its official folder: high-grade FLAIR, cropped and split as the paper says."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset_conversion.cases import channels_of, convert_each, origin_of, write_record
from dataset_conversion.raw_folder import (
    FILE_ENDING,
    write_channels,
    write_dataset_json,
    write_given_splits,
)
from dd_nnunet.core.case import Geometry
from dd_nnunet.core.errors import DDError, UserError, joined
from dd_nnunet.core.splits import Fold
from dd_nnunet.core.units import counted
from dd_nnunet.storage.grids import LabelArray, compare_grids
from dd_nnunet.storage.volume import read_label_map, read_volume, write_labels

CHANNELS = {"flair": "FLAIR", "t1": "T1", "t1ce": "T1ce", "t2": "T2"}
GRADES = ("HGG", "LGG")
SIZE_XYZ = (240, 240, 155)
CROP_XYZ = (200, 200, 155)
# of the 259 high-grade cases, as in the paper; other numbers of cases are split in these shares
N_PAPER, N_VAL, N_TEST = 259, 39, 40
SPLIT_SEED = 2019
BRAIN = 3
# 3 is not used by BraTS, the others are
LABELS = {"background": 0, "necrosis_and_non_enhancing": 1, "edema": 2, "brain": BRAIN, "enhancing": 4}
LEVELS = {"level1": {"background": [0], "brain": [BRAIN], "whole_tumour": [1, 2, 4]}}
EXPECTED = "expected the official names, HGG/BraTS19_…/BraTS19_…_flair.nii.gz"
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Brats19Request:
    """What is asked for.

    Args:
        source: MICCAI_BraTS_2019_Data_Training, which holds HGG and LGG.
        channels: keys of `CHANNELS`, in the order they are written.
        low_grade: the low-grade cases too.
    """

    source: Path
    channels: tuple[str, ...] = ("flair",)
    low_grade: bool = False


@dataclass(frozen=True)
class _Case:
    case_id: str
    images: tuple[Path, ...]
    seg: Path


def convert_brats19(request: Brats19Request, target: Path, show_progress: bool = False) -> tuple[int, int]:
    """Write the cases, dataset.json, splits_final.json and conversion.json into a dataset's folder.

    Returns:
        The numbers of cases in imagesTr and in imagesTs.

    Raises:
        UserError: no case; `ManyErrors` with every missing file, else with every case that is not as it ought to be.
        DiskError: no space left.
    """
    cases = _find_cases(request)
    fold, test = split_cases([case.case_id for case in cases])
    entries: dict[str, Any] = {}

    def convert(case: _Case) -> None:
        part = "Ts" if case.case_id in test else "Tr"
        entries[case.case_id] = _convert_case(case, target, part)

    if errors := convert_each(cases, convert, show_progress):
        raise joined(errors)
    write_record(target, entries)
    write_given_splits(target, [fold])
    n_training = len(cases) - len(test)
    names = [CHANNELS[channel] for channel in request.channels]
    write_dataset_json(target, names, n_training, LABELS, _notes(len(cases)))
    return n_training, len(test)


def split_cases(case_ids: Sequence[str]) -> tuple[Fold, frozenset[str]]:
    """Our split, which depends on the names alone: the training fold, and the test cases.

    The sorted ids are shuffled with the seed `SPLIT_SEED`; the first 40 of 259 are the test cases, the next 39 are
    for validation.
    """
    ids = np.array(sorted(case_ids))
    np.random.RandomState(SPLIT_SEED).shuffle(ids)
    n_test, n_val = (max(1, round(len(ids) * share / N_PAPER)) for share in (N_TEST, N_VAL))
    test, val, train = np.split(ids, [n_test, n_test + n_val])
    return Fold(tuple(sorted(map(str, train))), tuple(sorted(map(str, val)))), frozenset(map(str, test))


def _find_cases(request: Brats19Request) -> list[_Case]:
    grades = GRADES if request.low_grade else GRADES[:1]
    errors: list[DDError] = [
        UserError(request.source / grade, "is no folder", EXPECTED)
        for grade in grades
        if not (request.source / grade).is_dir()
    ]
    if errors:
        raise joined(errors)
    folders = [
        f for grade in grades for f in sorted((request.source / grade).glob("BraTS19_*")) if f.is_dir()
    ]
    cases = [
        _Case(
            folder.name,
            tuple(folder / f"{folder.name}_{channel}.nii.gz" for channel in request.channels),
            folder / f"{folder.name}_seg.nii.gz",
        )
        for folder in folders
    ]
    # train, validation and test
    if len(cases) < 3:
        raise UserError(
            request.source, f"holds {counted(len(cases), 'case')}, at least 3 are needed", EXPECTED
        )
    missing = [path for case in cases for path in (*case.images, case.seg) if not path.is_file()]
    if missing:
        raise joined(
            [UserError(path, "is missing", "download it again, or move the case away") for path in missing]
        )
    return cases


def _convert_case(case: _Case, target: Path, part: str) -> dict[str, Any]:
    """Crop and write one case; returns its entry of conversion.json."""
    volume = read_volume(case.images)
    seg, seg_geometry = read_label_map(case.seg)
    for path, geometry in ((case.images[0], volume.geometry), (case.seg, seg_geometry)):
        if geometry.size_xyz != SIZE_XYZ:
            raise UserError(path, f"has the size {geometry.size_xyz}, {SIZE_XYZ} is expected", EXPECTED)
    shifts = compare_grids(case.images[0], volume.geometry, case.seg, seg_geometry)
    strange = sorted({*map(int, np.unique(seg))} - {0, *LEVELS["level1"]["whole_tumour"]})
    if strange:
        raise UserError(case.seg, f"holds the labels {strange}, 0, 1, 2 and 4 are expected", EXPECTED)
    box, geometry = _centre(volume.geometry)
    channels = [channel[box] for channel in channels_of(volume)]
    labels = seg[box]
    warnings = [*volume.warnings, *shifts]
    if n_cut := int((seg > 0).sum() - (labels > 0).sum()):
        warnings.append(f"{case.seg}: {counted(n_cut, 'voxel')} of the tumour outside the crop")
    write_labels(
        target / f"labels{part}" / f"{case.case_id}{FILE_ENDING}", _with_brain(labels, channels), geometry
    )
    write_channels(target / f"images{part}", case.case_id, channels, geometry)
    files = {"files": origin_of(case.images), "labels": origin_of([case.seg])}
    return {"name": case.case_id, **files, "warnings": warnings}


def _with_brain(labels: LabelArray, channels: Sequence[Any]) -> LabelArray:
    """The labels [Z,Y,X], with those voxels outside the tumour that are not 0 in some channel as brain."""
    is_brain = np.any([channel != 0 for channel in channels], axis=0) & (labels == 0)
    return np.where(is_brain, BRAIN, labels).astype(np.uint8)


def _centre(geometry: Geometry) -> tuple[Box, Geometry]:
    """The middle of a volume: the box [Z,Y,X], and where it lies."""
    start = [(whole - kept) // 2 for whole, kept in zip(SIZE_XYZ, CROP_XYZ, strict=True)]
    step = np.reshape(geometry.direction, (3, 3)) * geometry.spacing_xyz_mm  # [xyz, axis] mm per voxel
    x, y, z = map(float, geometry.origin_xyz_mm + step @ start)
    box = tuple(slice(first, first + kept) for first, kept in zip(start, CROP_XYZ, strict=True))[::-1]
    return box, dataclasses.replace(geometry, size_xyz=CROP_XYZ, origin_xyz_mm=(x, y, z))  # type: ignore[return-value]


def _notes(n_cases: int) -> dict[str, Any]:
    return {
        "description": "BraTS 2019 training data, cropped; protocol of arXiv 2305.00067",
        "reference": "https://www.med.upenn.edu/cbica/brats-2019/",
        "licence": "given by its owners to those who register; it may not be passed on",
        "parts": {"level1": len(LEVELS["level1"])},
        "levels": LEVELS,
        "split": {"seed": SPLIT_SEED, "cases": n_cases},
    }
