"""Score folders of predicted label maps against folders of true ones."""

import itertools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dd_nnunet.core.case import Geometry
from dd_nnunet.core.dataset import DatasetDescription
from dd_nnunet.core.errors import DDError, ManyErrors, UserError
from dd_nnunet.core.units import counted
from dd_nnunet.evaluation.matching import (
    Classes,
    Overlap,
    count_nesting,
    count_overlap,
    hsu_dice,
    match_parts,
    missing_prediction,
    nesting_violations,
)
from dd_nnunet.evaluation.metrics import BoolArray, hd95_mm
from dd_nnunet.evaluation.summary import class_metrics, foreground_classes, key_of_class, summarise
from dd_nnunet.storage.atomic import write_json
from dd_nnunet.storage.grids import LabelArray, compare_grids, resample_labels
from dd_nnunet.storage.volume import read_label_map

LOGGER = logging.getLogger(__name__)
SUMMARY = "summary.json"
LABEL_MAP = "label_map.json"
# what `write_labels` can write; a table is as long as the highest number
MOST_PARTS = 65535


@dataclass(frozen=True)
class EvaluationRules:
    """What is scored.

    Args:
        case_ids: the cases that ought to be predicted; None: every case with a true label map. A case without
            a prediction scores 0, a case without a truth is left out.
        resample: carry a prediction on another grid to the truth's by the nearest voxel, instead of refusing it.
    """

    case_ids: Sequence[str] | None = None
    resample: bool = False


EVERY_CASE = EvaluationRules()


@dataclass(frozen=True)
class CasePair:
    """The files of one case; the prediction may be missing, and be resampled if it lies on another grid."""

    case_id: str
    prediction: Path
    truth: Path
    resample: bool = False

    @property
    def missing(self) -> bool:
        """There is no prediction."""
        return not self.prediction.is_file()


def labelled_cases(truth: Path, description: DatasetDescription) -> tuple[str, ...]:
    """The cases that can be evaluated: those with a true label map, if dataset.json names any labels."""
    named = description.labels or description.levels
    return case_ids_in(truth, description.file_ending) if named else ()


def case_ids_in(folder: Path, file_ending: str) -> tuple[str, ...]:
    """Sorted ids of the files `{case}{file_ending}` in a folder, hidden ones left out; it may be missing."""
    if not folder.is_dir():
        return ()
    names = (path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return tuple(sorted(name.removesuffix(file_ending) for name in names if name.endswith(file_ending)))


def evaluate_folder(
    predictions: Path,
    truth: Path,
    description: DatasetDescription,
    level: int,
    n_parts: int | None = None,
    rules: EvaluationRules = EVERY_CASE,
) -> dict[str, Any]:
    """Score the predictions of one model at one level.

    Args:
        predictions: holds `{case}{file_ending}`.
        truth: holds the raw true labels under the same names; the description says how a level merges them.
        description: of the dataset.
        level: 1 = coarsest.
        n_parts: parts of the model; None: one more than the highest part found.
        rules: which cases are scored, and what is made of another grid.

    Returns:
        The content of summary.json (see `summary.summarise`).

    Raises:
        UserError: no truth, no classes, a geometry that differs from the truth's, or a damaged file; all bad
            cases at once.
    """
    classes = description.classes_of_level(level)
    if not classes:
        raise UserError("dataset.json", "names no labels", 'add e.g. "labels": {"background": 0, "cell": 1}')
    pairs = _pair_files(predictions, truth, description.file_ending, rules)
    n_parts = n_parts or _count_parts(pairs)
    overlaps = _count_overlaps(pairs, n_parts, classes)
    label_map = dict(zip(classes, match_parts(overlaps), strict=True))
    entries = [
        _score_case(pair, overlap, classes, label_map) for pair, overlap in zip(pairs, overlaps, strict=True)
    ]
    summary = summarise(entries, classes, level, n_parts, label_map)
    _warn(summary, predictions)
    return summary


def evaluate_levels(
    predictions: Mapping[int, Path],
    truth: Path,
    description: DatasetDescription,
    n_parts: Mapping[int, int] | None = None,
    rules: EvaluationRules = EVERY_CASE,
) -> dict[int, dict[str, Any]]:
    """Score the folders of several levels of one model (level -> folder), and how well they are nested.

    Returns:
        Level -> summary; the summary of each level but the first tells under "nesting" how much of its parts
        lies outside the part of the next coarser level that holds most of them.
    """
    parts = dict(n_parts or {})
    summaries = {
        level: evaluate_folder(folder, truth, description, level, parts.get(level), rules)
        for level, folder in sorted(predictions.items())
    }
    levels = sorted(summaries)
    for coarse, fine in itertools.pairwise(levels):
        cases = [entry["case"] for entry in summaries[fine]["metric_per_case"]]
        shape = (summaries[fine]["n_parts"], summaries[coarse]["n_parts"])
        names = [f"{case}{description.file_ending}" for case in cases]
        measured = measure_nesting(predictions[fine], predictions[coarse], names, shape)
        summaries[fine]["nesting"] = {"coarse_level": coarse, **measured}
    return summaries


def measure_nesting(
    fine: Path, coarse: Path, names: Sequence[str], n_parts: tuple[int, int]
) -> dict[str, Any]:
    """Nesting-violation rate of one model: the mean over fine parts of the share outside their coarse part.

    Args:
        fine: folder with the label maps of a level.
        coarse: folder with those of a coarser level.
        names: file names in both folders; a file that is missing in one of them is skipped.
        n_parts: parts of the fine and of the coarse level.
    """
    shared = np.zeros(n_parts, dtype=np.int64)
    for name in names:
        if (fine / name).is_file() and (coarse / name).is_file():
            shared += count_nesting(
                read_label_map(fine / name)[0], read_label_map(coarse / name)[0], *n_parts
            )
    violations = nesting_violations(shared)
    known = violations[~np.isnan(violations)]
    return {
        "violation_rate": float(known.mean()) if len(known) else None,
        "per_part": [None if np.isnan(share) else float(share) for share in violations],
        "coarse_part": [None if not row.any() else int(row.argmax()) for row in shared],
    }


def write_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    """Write summary.json, and its label map (class name -> part) as label_map.json, into a folder."""
    write_json(folder / SUMMARY, summary)
    write_json(folder / LABEL_MAP, summary["label_map"])


def _pair_files(
    predictions: Path, truth: Path, file_ending: str, rules: EvaluationRules
) -> tuple[CasePair, ...]:
    with_truth = case_ids_in(truth, file_ending)
    if not with_truth:
        raise UserError(
            truth, f"holds no true labels *{file_ending}", "without them nothing can be evaluated"
        )
    if not predictions.is_dir():
        raise UserError(predictions, "is no folder", "give the folder that holds the predicted label maps")
    wanted = with_truth
    if rules.case_ids is not None:
        wanted = tuple(sorted(set(rules.case_ids) & set(with_truth)))
    if not wanted:
        raise UserError(truth, "holds no true labels of the predicted cases", "compare the file names")
    return tuple(
        CasePair(case, predictions / f"{case}{file_ending}", truth / f"{case}{file_ending}", rules.resample)
        for case in wanted
    )


def _count_parts(pairs: Sequence[CasePair]) -> int:
    predicted = [pair.prediction for pair in pairs if not pair.missing]
    if not predicted:
        folder = pairs[0].prediction.parent
        raise UserError(folder, "holds no prediction", "compare the file names with the truth's")
    return 1 + max(map(_highest_part, predicted))


def _highest_part(path: Path) -> int:
    highest = int(read_label_map(path)[0].max())
    if highest > MOST_PARTS:
        raise UserError(path, f"holds the part number {highest}", f"allowed: 0 to {MOST_PARTS}")
    return highest


def _count_overlaps(pairs: Sequence[CasePair], n_parts: int, classes: Classes) -> list[Overlap]:
    overlaps: list[Overlap] = []
    errors: list[DDError] = []
    for pair in pairs:
        try:
            overlaps.append(_overlap_of(pair, n_parts, classes))
        except DDError as error:
            errors.append(error)
    if errors:
        raise ManyErrors(errors)
    return overlaps


def _overlap_of(pair: CasePair, n_parts: int, classes: Classes) -> Overlap:
    truth, geometry = read_label_map(pair.truth)
    if pair.missing:
        return missing_prediction(truth, n_parts, classes)
    prediction, warnings = _read_prediction(pair, geometry)
    for warning in warnings:
        LOGGER.warning("%s", warning)
    return count_overlap(prediction, truth, n_parts, classes, where=pair.prediction)


def _read_prediction(pair: CasePair, geometry: Geometry) -> tuple[LabelArray, tuple[str, ...]]:
    """The prediction on the truth's grid, and what is odd about its own."""
    prediction, found = read_label_map(pair.prediction)
    try:
        return prediction, compare_grids(pair.truth, geometry, pair.prediction, found)
    except UserError as error:
        if not pair.resample:
            raise UserError(error.where, error.reason, f"{error.remedy}, or give --resample") from None
        warning = f"{error.where}: {error.reason}; it is resampled by the nearest voxel"
        return resample_labels(prediction, found, geometry), (warning,)


def _score_case(
    pair: CasePair, overlap: Overlap, classes: Classes, label_map: Mapping[str, int | None]
) -> dict[str, Any]:
    distances = _distances(pair, classes, label_map)
    hsu = hsu_dice(overlap)
    return {
        "case": pair.case_id,
        "reference_file": str(pair.truth),
        "prediction_file": str(pair.prediction),
        "missing": pair.missing,
        "hsu": None if np.isnan(hsu) else hsu,
        "unexpected_labels": {str(label): voxels for label, voxels in overlap.unexpected.items()},
        "metrics": {
            key_of_class(labels): class_metrics(overlap, label_map[name], index, distances.get(name))
            for index, (name, labels) in enumerate(classes.items())
        },
    }


def _distances(
    pair: CasePair, classes: Classes, label_map: Mapping[str, int | None]
) -> dict[str, float | None]:
    truth, geometry = read_label_map(pair.truth)
    prediction = None if pair.missing else _read_prediction(pair, geometry)[0]

    def predicted(part: int | None) -> BoolArray:
        nothing = prediction is None or part is None
        return np.zeros(truth.shape, dtype=np.bool_) if nothing else np.asarray(prediction == part)

    return {
        name: hd95_mm(predicted(label_map[name]), np.isin(truth, classes[name]), geometry.spacing_zyx_mm)
        for name in foreground_classes(classes)
    }


def _warn(summary: Mapping[str, Any], predictions: Path) -> None:
    if summary["n_missing"]:
        shown = ", ".join(summary["missing"][:5]) + (" …" if summary["n_missing"] > 5 else "")
        missing = counted(
            summary["n_missing"], "prediction", ("is missing and counts", "are missing and count")
        )
        LOGGER.warning("%s: %s as Dice 0: %s", predictions, missing, shown)
    for label, voxels in summary["unexpected_labels"].items():
        found, level = counted(voxels, "voxel"), summary["level"]
        LOGGER.warning("truth: label %s (%s) belongs to no class of level %d", label, found, level)
