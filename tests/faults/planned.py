"""Raw datasets made of arrays, and dd_plan_and_preprocess run on them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dd_nnunet.commands import plan_and_preprocess
from dd_nnunet.core.case import Geometry
from dd_nnunet.storage.atomic import read_json, write_json
from dd_nnunet.storage.volume import write_image

NAME = "Dataset005_Faults"
STRAIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def cell(number=0, shape=(16, 16, 16)):
    """A bright ball in noise."""
    grid = np.indices(shape, dtype=float)
    squared = sum((g - (n - 1) / 2) ** 2 for g, n in zip(grid, shape, strict=True))
    noise = np.random.default_rng(number).normal(0, 10, shape)
    return (100.0 * (squared < (max(shape) / 3) ** 2) + noise).astype(np.float32)


@dataclass(frozen=True)
class Faulty:
    root: Path

    @property
    def raw(self):
        return self.root / "raw" / NAME

    @property
    def preprocessed(self):
        return self.root / "preprocessed" / NAME

    @property
    def written(self):
        """Names of the files in the preprocessed folder, but for its lock."""
        return sorted(p.name for p in self.preprocessed.rglob("*") if p.is_file() and p.name != ".lock")

    @property
    def prepared_cases(self):
        return sorted(path.stem for path in (self.preprocessed / "ddPlans_3d_fullres").glob("*.b2nd"))

    @property
    def flags(self):
        places = {"--raw": "raw", "--preprocessed": "preprocessed", "--results": "results"}
        return [text for flag, name in places.items() for text in (flag, str(self.root / name))]

    def run(self, *more):
        return self.run_step(plan_and_preprocess.main, "-np", "0", "--preset", "fast", *more)

    def run_step(self, main, *more):
        return main(["-d", "5", "--no_pbar", *self.flags, *more])

    def json(self, name):
        return read_json(self.preprocessed / name)


def make_faulty(root, volumes, spacings_zyx=None, description=None):
    """Write arrays [Z,Y,X] by case id, at 1 mm or the spacing given for a case."""
    dataset = Faulty(Path(root))
    described = {"channel_names": {"0": "light"}, "numTraining": len(volumes), "file_ending": ".nii.gz"}
    write_json(dataset.raw / "dataset.json", described | (description or {}))
    for case_id, array in volumes.items():
        spacing = (spacings_zyx or {}).get(case_id, (1.0, 1.0, 1.0))
        geometry = Geometry(array.shape[::-1], tuple(spacing[::-1]), (0.0, 0.0, 0.0), STRAIGHT)
        write_image(dataset.raw / "imagesTr" / f"{case_id}_0000.nii.gz", array, geometry)
    return dataset


def cells(n=3, **kwargs):
    return {f"cell_{number}": cell(number, **kwargs) for number in range(n)}
