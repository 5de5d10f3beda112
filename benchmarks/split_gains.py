"""Which levels and parts the planner finds in volumes of known contents, in pure noise, and in real data.

    python benchmarks/split_gains.py --data FOLDER_OF_RAW_DATASETS    # writes results/split_gains.{json,md}

Synthetic cells and noise come from a seed that no test and no dataset uses, and on which no constant was chosen. Real
volumes are only read (labels are not), and left out without --data.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from measuring import RESULTS, machine, write_result

from dataset_conversion.synthcell import VARIANTS, coloured_noise, make_volume
from dd_nnunet.core.case import Geometry, Volume
from dd_nnunet.core.fingerprint import CaseFingerprint
from dd_nnunet.planning.fingerprinting import fingerprint_case
from dd_nnunet.planning.levels import measured_parts
from dd_nnunet.planning.noise import smoothed
from dd_nnunet.planning.split_gains import MIN_GAIN, measure_splits
from dd_nnunet.storage.raw_dataset import load_description, survey_cases
from dd_nnunet.storage.volume import read_volume
from dd_nnunet.storage.workspace import Workspace

SEED = 7101
EDGE = 48
NOISE_EDGE = 32
N_CELLS = 8
N_MADE = 4
N_NOISE = 100
REAL = ("901", "902", "903")


def volume_of(array: np.ndarray) -> Volume:
    """One channel at 1 mm."""
    geometry = Geometry(array.shape[::-1], (1.0,) * 3, (0.0,) * 3, (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    return Volume(array[None].astype(np.float32), geometry, ("float32",))


def cells() -> Iterator[tuple[str, list[Volume]]]:
    """Synthetic cells, 50³ and 32³."""
    for variant, size in (
        ("regular", 50),
        ("irregular", 50),
        ("hard-noise", 50),
        ("regular", 32),
        ("irregular", 32),
    ):
        volumes = [make_volume(VARIANTS[variant], SEED, index, size).image for index in range(N_CELLS)]
        yield f"synthcell {variant} {size}³", [volume_of(v) for v in volumes]


def objects(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One volume of each kind whose number of parts is known."""
    radius = np.sqrt(((np.indices((EDGE,) * 3) - EDGE / 2 + 0.5) ** 2).sum(axis=0))
    white = rng.normal(size=(EDGE,) * 3)
    return {
        "ball, 5 % of the volume, contrast 2 sd (2)": 2 * (radius < 11) + white,
        "ball, 1.3 %, contrast 4 sd (2)": 4 * (radius < 7) + white,
        "ball, 5 %, almost no noise (2)": 1.0 * (radius < 11) + 1e-6 * white,
        "ball in a ball (2, then 3)": 2.0 * (radius < 18) + 2 * (radius < 9) + white,
        "ball in a ball, almost no noise (2, then 3)": 2.0 * (radius < 18) + 2 * (radius < 9) + 1e-6 * white,
    }


def textures(rng: np.random.Generator, edge: int) -> dict[str, np.ndarray]:
    """One volume of each kind that holds no parts."""
    shape = (edge,) * 3
    first, second = rng.normal(size=shape), rng.normal(size=shape)
    return {
        "white noise": first,
        "pink noise": coloured_noise(rng, shape, 1, 1.0),
        "brown noise": coloured_noise(rng, shape, 2, 1.0),
        "noise, spectrum f^-3": coloured_noise(rng, shape, 3, 1.0),
        "Rician noise": np.hypot(first, second),
        "exponential noise": rng.exponential(size=shape),
        "log-normal pink noise": np.exp(coloured_noise(rng, shape, 1, 1.0)),
        "ramp and a little noise": np.indices(shape)[0] / edge + 0.1 * first,
        "squared brown noise": coloured_noise(rng, shape, 2, 1.0) ** 2,
    }


def real_cases(root: Path) -> Iterator[tuple[str, list[Volume]]]:
    """The volumes of the real datasets."""
    workspace = Workspace(root, root, root)
    for number in REAL:
        folders = workspace.dataset(number)
        survey = survey_cases(folders.images_tr, load_description(folders))
        yield folders.name, [read_volume(case.channel_files) for case in survey.sound_cases()]


def describe(name: str, volumes: Iterable[Volume]) -> dict[str, object]:
    """Fingerprint the volumes as one dataset and let them vote."""
    started = time.process_time()
    cases = [fingerprint_case(volume, str(number)) for number, volume in enumerate(volumes)]
    seconds = time.process_time() - started
    chosen = measured_parts(cases)
    trees = Counter(tree(case) for case in cases)
    print(name, chosen.n_parts, dict(trees), flush=True)
    return {
        "n": len(cases),
        "planned": " ".join(map(str, chosen.n_parts)),
        "children": [list(c) for c in chosen.children],
        "because": chosen.because,
        "trees": dict(trees.most_common()),
        "cpu_seconds_per_fingerprint": round(seconds / len(cases), 3),
    }


def tree(case: CaseFingerprint) -> str:
    """E.g. "2 | 1 2": the volume in 2; then part 0 stays whole and part 1 splits in 2."""
    levels = []
    n_parts = 1
    for level in (1, 2, 3):
        found = {s.part: s.children for s in case.splits if s.level == level}
        children = [found.get(part, 1) for part in range(n_parts)]
        if sum(children) == n_parts:
            break
        levels.append(" ".join(map(str, children)))
        n_parts = sum(children)
    return " | ".join(levels) or "whole"


def false_splits(rng: np.random.Generator) -> dict[str, dict[str, object]]:
    """How often a volume without parts is split, by each half of the rule and by the whole rule."""
    cases: dict[str, list[CaseFingerprint]] = {}
    for _ in range(N_NOISE):
        for name, array in textures(rng, NOISE_EDGE).items():
            cases.setdefault(name, []).append(fingerprint_case(volume_of(array), name))
    found: dict[str, dict[str, object]] = {}
    for name, fingerprints in cases.items():
        first = [case.splits[0] for case in fingerprints]
        found[name] = {
            "n": len(first),
            "beats its surrogates": sum(s.gain > s.chance for s in first),
            f"gains over {MIN_GAIN}": sum(s.gain > MIN_GAIN for s in first),
            "both: is split": sum(s.children > 1 for s in first),
            "largest_gain": max(s.gain for s in first),
            "largest_chance": max(s.chance for s in first),
        }
        print(name, found[name], flush=True)
    return found


def split_seconds() -> float:
    """CPU seconds that the splits of the largest volume they are measured on take, of a cell of 64³ voxels."""
    image = make_volume(VARIANTS["regular"], SEED, 0, 64).image
    low, high = np.percentile(image, (0.5, 99.5))
    started = time.process_time()
    measure_splits(smoothed(np.clip((image - low) / (high - low), 0, 1)))
    return round(time.process_time() - started, 2)


def main() -> None:
    """Measure everything; about 10 minutes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="raw datasets 901, 902 and 903")
    args = parser.parse_args()
    about, rng = machine(), np.random.default_rng(SEED)
    sets = {name: describe(name, volumes) for name, volumes in cells()}
    made = [objects(rng) for _ in range(N_MADE)]
    for name in made[0]:
        sets[name] = describe(name, [volume_of(arrays[name]) for arrays in made])
    for name, volumes in real_cases(args.data) if args.data else ():
        sets[name] = describe(name, volumes)
    noise = false_splits(rng)
    command = "python benchmarks/split_gains.py" + (" --data FOLDER" if args.data else "")
    (RESULTS / "split_gains.md").write_text(table(sets, noise))
    result = {
        "command": command,
        "cpu_seconds_of_splits_64": split_seconds(),
        "sets": sets,
        "no_parts": noise,
    }
    write_result("split_gains", {**result, "machine": about})


def table(sets: dict[str, dict[str, object]], noise: dict[str, dict[str, object]]) -> str:
    """Both tables in Markdown."""
    lines = [
        "| volumes (parts there are) | cases | planned | trees found | CPU s per fingerprint |",
        "|---|---:|---|---|---:|",
    ]
    for name, found in sets.items():
        trees = "; ".join(f"{count} × {shape}" for shape, count in found["trees"].items()).replace("|", "/")
        lines.append(
            f"| {name} | {found['n']} | {found['planned']} | {trees} | {found['cpu_seconds_per_fingerprint']} |"
        )
    columns = list(next(iter(noise.values())))
    lines += [
        "",
        f"| no parts, {NOISE_EDGE}³ | {' | '.join(columns)} |",
        "|---" + "|---:" * len(columns) + "|",
    ]
    lines += [f"| {name} | {' | '.join(str(found[c]) for c in columns)} |" for name, found in noise.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
