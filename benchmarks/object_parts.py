"""What objects within objects are worth as parts, on fresh synthetic cells, beside k-means of the same volumes.

    python benchmarks/object_parts.py [--volumes 40]      # 6 minutes on one core; writes results/object_parts.json

Volumes are of a seed on which nothing was chosen; diameters are what the fingerprint measures on them. Labels are for
scoring only. The ablations leave out one rule at a time.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from measuring import machine, write_result

from dataset_conversion.synthcell import LEVELS, VARIANTS, SyntheticVolume, make_volume
from dd_nnunet.core.level_plan import ObjectPlan
from dd_nnunet.evaluation.baselines.denoise_kmeans import segment_denoised
from dd_nnunet.evaluation.baselines.kmeans import segment_by_kmeans
from dd_nnunet.evaluation.matching import count_overlap, hsu_dice, match_parts, strict_dice
from dd_nnunet.evaluation.metrics import bootstrap_interval
from dd_nnunet.planning.fingerprinting import merge_diameters
from dd_nnunet.planning.granulometry import characteristic_diameters
from dd_nnunet.planning.object_fingerprint import measure_sub_objects
from dd_nnunet.planning.object_levels import SMALLEST_SHARE
from dd_nnunet.regions import nested_parts as rules
from dd_nnunet.regions import sub_objects

SEED = 31_000
SETTINGS = (("regular", 50), ("irregular", 50), ("regular", 32), ("irregular", 32))
N_PARTS = (2, 4, 8)
SPACING = (1.0, 1.0, 1.0)
N_GATED = 12
# rule left out -> module, its constant, the value that leaves it out
ABLATIONS = {
    "all rules": None,
    "as strongly denoised as denoise-kmeans": (rules, "FINE_WEIGHT", 1.25),
    "not denoised": (rules, "FINE_WEIGHT", 0.0),
    "rim of the object kept": (sub_objects, "RIM", 0.0),
    "outlines stay at 2.5 sd": (sub_objects, "MIN_HEIGHT_SD", sub_objects.UNUSUAL_SD),
    "touching objects stay together": (sub_objects, "DEPTH_OF_SADDLE", 100.0),
}
Levels = Sequence[np.ndarray[Any, Any]]
Segment = Callable[[np.ndarray[Any, Any]], Levels]


def main() -> None:
    """Score every method on every setting."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--volumes", type=int, default=40, metavar="N", help="per setting (default: 40)")
    n_volumes = parser.parse_args().volumes
    results = {}
    for variant, size in SETTINGS:
        volumes = [make_volume(VARIANTS[variant], seed=SEED, index=i, size=size) for i in range(n_volumes)]
        results[f"{variant} {size}"] = measure(volumes)
    write_result(
        "object_parts",
        {
            "command": f"python benchmarks/object_parts.py --volumes {n_volumes}",
            "seed": SEED,
            "n_parts": N_PARTS,
            "results": results,
            "machine": machine(),
        },
    )


def measure(volumes: Sequence[SyntheticVolume]) -> dict[str, Any]:
    """Diameters, the planner's gate, and the scores of all methods on volumes of one kind."""
    images = [scaled(volume.image) for volume in volumes]
    truths = [volume.labels for volume in volumes]
    diameters = merge_diameters([characteristic_diameters(image, SPACING) for image in images])
    plan = ObjectPlan(N_PARTS, tuple(SMALLEST_SHARE * mm for mm in diameters), 10.0)
    methods: dict[str, Segment] = {
        "kmeans": lambda image: segment_by_kmeans(image[None], N_PARTS),
        "denoise-kmeans": lambda image: segment_denoised(image[None], N_PARTS),
        "objects": lambda image: rules.nested_parts(image, plan, SPACING),
    }
    found: dict[str, Any] = {"diameters_mm": diameters, "gate": gate(images[:N_GATED], diameters)}
    for name, segment in methods.items():
        found[name] = score(segment, images, truths)
    for name, change in ABLATIONS.items():
        if change is not None:
            with changed(*change):
                found[f"objects, {name}"] = score(methods["objects"], images, truths)
    return found


def scaled(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """As volumes are prepared: percentiles 0.5 and 99.5 become 0 and 1."""
    low, high = np.percentile(image, (0.5, 99.5))
    return np.clip((image - low) / (high - low), 0, 1).astype(np.float32)


def gate(images: Sequence[np.ndarray[Any, Any]], diameters: Sequence[float]) -> dict[str, float]:
    """What the planner compares: the median share of sub-objects, and the 95th percentile by chance."""
    measured = [measure_sub_objects(image, SPACING, diameters) for image in images]
    by_chance = [share for found in measured if found for share in found.by_chance]
    return {
        "median_share": float(np.median([found.share for found in measured if found])),
        "by_chance_95": float(np.percentile(by_chance, 95)),
    }


def score(
    segment: Segment, images: Sequence[np.ndarray[Any, Any]], truths: Sequence[np.ndarray[Any, Any]]
) -> dict[str, Any]:
    """Both protocols of every level, with sd and interval over the volumes, and seconds per volume."""
    started = time.perf_counter()
    parts = [segment(image) for image in images]
    seconds = (time.perf_counter() - started) / len(images)
    scores: dict[str, Any] = {"seconds_per_volume": round(seconds, 3)}
    for level, n_parts in enumerate(N_PARTS):
        overlaps = [
            count_overlap(found[level], truth, n_parts, LEVELS[level])
            for found, truth in zip(parts, truths, strict=True)
        ]
        per_case = np.array([hsu_dice(overlap) for overlap in overlaps])
        matching = match_parts(overlaps)
        strict = float(np.nanmean([np.nanmean(strict_dice(overlap, matching)) for overlap in overlaps]))
        scores[f"level{level + 1}"] = {
            "hsu": round(float(per_case.mean()), 4),
            "sd": round(float(per_case.std(ddof=1)), 4),
            "interval": [round(edge, 4) for edge in bootstrap_interval(per_case)],
            "strict": round(strict, 4),
        }
    return scores


@contextmanager
def changed(module: Any, constant: str, value: float) -> Iterator[None]:
    """A constant of a module with another value."""
    usual = getattr(module, constant)
    setattr(module, constant, value)
    try:
        yield
    finally:
        setattr(module, constant, usual)


if __name__ == "__main__":
    main()
