"""Where objects within objects are better parts than k-means of voxels: phantoms and cells under rising noise.

    python benchmarks/object_noise.py [--volumes 6]     # minutes on one core; writes results/object_noise.json

White noise is added to the gallery's phantoms and to synthetic cells (which have noise of their own), of a seed on
which nothing was chosen; the signal-to-noise ratio is what the fingerprint measures on them. Both methods get the
numbers of parts. `contrast` is what the planner chooses by, the one of the two whose outlines cross larger steps.
Nothing is trained. Labels are for scoring only.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gallery_phantoms import KINDS
from measuring import machine, write_result
from object_parts import scaled

from dataset_conversion.synthcell import LEVELS, VARIANTS, make_volume
from dd_nnunet.core.level_plan import ObjectPlan
from dd_nnunet.evaluation.baselines.denoise_kmeans import segment_denoised
from dd_nnunet.evaluation.matching import count_overlap, hsu_dice, match_parts, strict_dice
from dd_nnunet.planning.fingerprinting import merge_diameters
from dd_nnunet.planning.granulometry import characteristic_diameters
from dd_nnunet.planning.noise import noise_sd, noise_slope, whole_noise_sd
from dd_nnunet.planning.object_levels import SMALLEST_SHARE
from dd_nnunet.planning.spectrum import signal_to_noise
from dd_nnunet.planning.stage_choice import diameter_of_level
from dd_nnunet.regions.contrast import boundary_contrast
from dd_nnunet.regions.denoising import COARSE_WEIGHT, denoise
from dd_nnunet.regions.nested_parts import nested_parts

SEED = 52_000
# sd of the added noise over that of the volume
ADDED = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6)
PHANTOMS = ("ct", "em", "thick-slices")
CELLS = ("regular", 32)
Image = np.ndarray[Any, Any]
Spacing = tuple[float, float, float]
Classes = Mapping[str, Sequence[int]]


def main() -> None:
    """Score both methods on every kind of volume under every noise."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--volumes", type=int, default=6, metavar="N", help="per kind (default: 6)")
    n_volumes = parser.parse_args().volumes
    results = {}
    for name, (images, truths, spacing, levels) in kinds(n_volumes).items():
        for added in ADDED:
            noisy = [with_noise(image, added, index) for index, image in enumerate(images)]
            found = measure(noisy, truths, spacing, levels)
            results[f"{name}, {added:g}"] = found
            print(name, added, found, flush=True)
    command = f"python benchmarks/object_noise.py --volumes {n_volumes}"
    write_result("object_noise", {"command": command, "seed": SEED, "results": results, "machine": machine()})


def kinds(
    n_volumes: int,
) -> dict[str, tuple[list[Image], list[Image], Spacing, Sequence[Classes]]]:
    """Name -> volumes, labels, spacing, and the classes of level 1 and 2."""
    found = {}
    for name in PHANTOMS:
        kind = KINDS[name]
        drawn = [kind.draw(np.random.default_rng([SEED, i]), kind.shape_zyx) for i in range(n_volumes)]
        images = [phantom.channels[0].astype(np.float64) for phantom in drawn]
        found[name] = (images, [phantom.labels for phantom in drawn], kind.spacing_zyx_mm, kind.levels)
    variant, size = CELLS
    cells = [make_volume(VARIANTS[variant], SEED, index, size) for index in range(n_volumes)]
    levels = LEVELS[:2]
    found["cells"] = ([cell.image for cell in cells], [cell.labels for cell in cells], (1.0,) * 3, levels)
    return found


def with_noise(image: Image, added: float, index: int) -> Image:
    """White noise of a share of the volume's own standard deviation on top."""
    random = np.random.default_rng([SEED, 1, index])
    return scaled(image + added * image.std() * random.normal(size=image.shape))


def measure(
    images: Sequence[Image], truths: Sequence[Image], spacing: Spacing, levels: Sequence[Classes]
) -> dict[str, Any]:
    """The measured ratio, and both protocols of level 2 by both methods."""
    n_parts = tuple(len(classes) for classes in levels)
    diameters = merge_diameters([characteristic_diameters(image, spacing) for image in images])
    smallest = tuple(SMALLEST_SHARE * diameter_of_level(diameters, n) for n in (1, 2))
    plan = ObjectPlan(n_parts, smallest, 10.0)
    methods = {
        "objects": lambda image: nested_parts(image, plan, spacing)[1],
        "denoise-kmeans": lambda image: segment_denoised(image[None], n_parts)[1],
    }
    found: dict[str, Any] = {"snr": round(float(np.median([ratio(image) for image in images])), 2)}
    coarse = [denoise(image, COARSE_WEIGHT)[None] for image in images]
    for name, segment in methods.items():
        parts = [segment(image) for image in images]
        steps = [boundary_contrast(labels, values) for labels, values in zip(parts, coarse, strict=True)]
        found[name] = score(parts, truths, levels[1]) | {"contrast": round(float(np.median(steps)), 2)}
    return found


def ratio(image: Image) -> float:
    """As the fingerprint has it, of the whole volume."""
    everywhere = np.ones(image.shape, bool)
    return signal_to_noise(image, whole_noise_sd(noise_sd(image, everywhere), noise_slope(image, everywhere)))


def score(parts: Sequence[Image], truths: Sequence[Image], classes: Classes) -> dict[str, float]:
    """Mean Dice of the volumes by both protocols."""
    overlaps = [
        count_overlap(found, truth, len(classes), classes) for found, truth in zip(parts, truths, strict=True)
    ]
    matching = match_parts(overlaps)
    return {
        "hsu": round(float(np.mean([hsu_dice(overlap) for overlap in overlaps])), 4),
        "strict": round(float(np.mean([np.nanmean(strict_dice(o, matching)) for o in overlaps])), 4),
    }


if __name__ == "__main__":
    main()
