"""summary.json: nnU-Net's keys, and beside them the two protocols with their intervals."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dd_nnunet.core.json_record import record_to_json
from dd_nnunet.evaluation.matching import Classes, Overlap
from dd_nnunet.evaluation.metrics import (
    FloatArray,
    bootstrap_interval,
    dice_and_iou,
    mean_over_classes,
    mean_over_images,
)

BACKGROUND_LABEL = 0
METRICS = ("Dice", "IoU", "HD95", "FN", "FP", "TN", "TP", "n_pred", "n_ref")
POLICY = (
    "a missing prediction counts as Dice 0 and HD95 = the volume's diagonal for every class in its truth; "
    "a class that neither truth nor prediction holds is left out of the means and counted in n_undefined; "
    "HD95 is given for foreground classes only"
)
ONE_MAP = "one label map for all images, Hungarian on summed Dice; unmatched true classes score 0"
MAP_PER_FOLD = (
    "each fold is a model of its own: every image is scored under the label map of its fold, so the mean "
    "over images is the case-weighted mean over folds; folds are not aligned with each other"
)


def key_of_class(labels: Sequence[int]) -> str:
    """nnU-Net's name of a class in summary.json: "1", or "(1, 2)" for merged labels."""
    return str(labels[0]) if len(labels) == 1 else str(tuple(labels))


def foreground_classes(classes: Classes) -> tuple[str, ...]:
    """Names of the classes that do not hold the background label 0."""
    return tuple(name for name, labels in classes.items() if BACKGROUND_LABEL not in labels)


def class_metrics(overlap: Overlap, part: int | None, class_index: int, hd95: float | None) -> dict[str, Any]:
    """The metrics of one class in one image, taking `part` (None: nothing) as its prediction."""
    n_ref = int(overlap.class_voxels[class_index])
    n_pred = 0 if part is None else int(overlap.part_voxels[part])
    tp = 0 if part is None else int(overlap.intersection[part, class_index])
    fp, fn = n_pred - tp, n_ref - tp
    dice, iou = dice_and_iou(tp, fp, fn)
    tn = overlap.n_voxels - tp - fp - fn
    values = (dice, iou, hd95, fn, fp, tn, tp, n_pred, n_ref)
    return dict(zip(METRICS, values, strict=True))


def summarise(
    entries: Sequence[dict[str, Any]],
    classes: Classes,
    level: int,
    n_parts: int,
    label_map: Mapping[str, Any],
    strict_policy: str = ONE_MAP,
) -> dict[str, Any]:
    """Put the scores of all images together; the result holds no NaN.

    Args:
        entries: per image "case", "reference_file", "prediction_file", "missing", "hsu" (score or None),
            "unexpected_labels" (label -> voxels) and "metrics" (class key -> `class_metrics`).
        classes: name -> the true labels it merges.
        level: 1 = coarsest.
        n_parts: parts of the model.
        label_map: class name -> part or None; per fold where several models were scored.
        strict_policy: how the label maps were made, in words.
    """
    keys = {name: key_of_class(labels) for name, labels in classes.items()}
    mean = {key: _mean_metrics([entry["metrics"][key] for entry in entries]) for key in keys.values()}
    unexpected: Counter[str] = Counter()
    for entry in entries:
        unexpected.update(entry["unexpected_labels"])
    missing = [entry["case"] for entry in entries if entry["missing"]]
    summary = {
        "foreground_mean": _mean_metrics([mean[keys[name]] for name in foreground_classes(classes)]),
        "mean": mean,
        "metric_per_case": list(entries),
        "level": level,
        "n_parts": n_parts,
        "n_cases": len(entries),
        "n_missing": len(missing),
        "missing": missing,
        "class_names": {key: name for name, key in keys.items()},
        "label_map": label_map,
        "unexpected_labels": dict(unexpected),
        "policy": POLICY,
        "protocols": {
            "hsu": _hsu_protocol(entries),
            "strict": _strict_protocol(entries, keys, foreground_classes(classes), strict_policy),
        },
    }
    return dict(record_to_json(summary))


def merge_summaries(summaries: Mapping[str, dict[str, Any]], classes: Classes) -> dict[str, Any]:
    """Put the summaries of several folds at one level together.

    Every image keeps the score it got under the label map of its fold; nothing is matched anew. The
    nesting-violation rate is the case-weighted mean over folds.

    Args:
        summaries: fold -> its summary.json.
        classes: of that level, name -> the true labels it merges.
    """
    entries = [
        {**entry, "fold": fold} for fold, summary in summaries.items() for entry in summary["metric_per_case"]
    ]
    first = next(iter(summaries.values()))
    label_maps = {fold: summary["label_map"] for fold, summary in summaries.items()}
    merged = summarise(entries, classes, first["level"], first["n_parts"], label_maps, MAP_PER_FOLD)
    nesting = [(s["n_cases"], s["nesting"]) for s in summaries.values() if "nesting" in s]
    rates = [(n, rate) for n, measured in nesting if (rate := measured["violation_rate"]) is not None]
    if rates:
        weights, values = zip(*rates, strict=True)
        merged["nesting"] = {
            "coarse_level": nesting[0][1]["coarse_level"],
            "violation_rate": float(np.average(values, weights=weights)),
        }
    return merged


def _mean_metrics(rows: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    means: dict[str, float | None] = {}
    for metric in METRICS:
        defined = [value for row in rows if (value := row.get(metric)) is not None]
        means[metric] = float(np.mean(defined)) if defined else None
    return means


def _hsu_protocol(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    scores = _as_array([[entry["hsu"]] for entry in entries])  # [N,1]
    return {
        "dice": float(mean_over_classes(scores)),
        "interval": bootstrap_interval(scores),
        "n_undefined": int(np.isnan(scores).sum()),
        "how": "per image: Hungarian matching, background included, mean over the matched pairs",
    }


def _strict_protocol(
    entries: Sequence[dict[str, Any]], keys: Mapping[str, str], foreground: Sequence[str], how: str
) -> dict[str, Any]:
    def scores_of(names: Sequence[str], metric: str) -> FloatArray:
        return _as_array([[entry["metrics"][keys[name]][metric] for name in names] for entry in entries])

    dice, dice_foreground = scores_of(list(keys), "Dice"), scores_of(foreground, "Dice")  # [N,C]
    hd95 = scores_of(foreground, "HD95")
    return {
        "dice": float(mean_over_classes(dice)),
        "interval": bootstrap_interval(dice),
        "foreground": float(mean_over_classes(dice_foreground)),
        "foreground_interval": bootstrap_interval(dice_foreground),
        "hd95_mm": float(mean_over_classes(hd95)),
        "hd95_mm_interval": bootstrap_interval(hd95),
        "per_class": dict(zip(keys, mean_over_images(dice).tolist(), strict=True)),
        "hd95_mm_per_class": dict(zip(foreground, mean_over_images(hd95).tolist(), strict=True)),
        "n_undefined": int(np.isnan(dice).sum()),
        "how": how,
    }


def _as_array(rows: Sequence[Sequence[float | None]]) -> FloatArray:
    return np.array(rows, dtype=np.float64).reshape(len(rows), -1)
