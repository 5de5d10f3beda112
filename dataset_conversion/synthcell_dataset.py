"""A raw dataset of synthetic cells."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_conversion.raw_folder import (
    FILE_ENDING,
    plain_geometry,
    write_channels,
    write_dataset_json,
)
from dataset_conversion.synthcell import (
    CLASS_NAMES,
    FULL_SIZE,
    GENERATOR_VERSION,
    LEVELS,
    SMALLEST_SIZE,
    VARIANTS,
    make_volume,
)
from dd_nnunet.core.errors import UserError
from dd_nnunet.storage.progress_bar import progress_bar
from dd_nnunet.storage.volume import write_labels

LARGEST_SIZE = 256


@dataclass(frozen=True)
class SynthcellRequest:
    """What is asked for.

    Args:
        variant: a name in `VARIANTS`.
        seed: of the dataset, at least 0.
        size: edge of the cubic volumes in voxels.
        n_train, n_val: cases that imagesTr holds together; the folds divide them anew.
        n_test: cases of imagesTs.
    """

    variant: str = "regular"
    seed: int = 0
    size: int = FULL_SIZE
    n_train: int = 80
    n_val: int = 20
    n_test: int = 20

    def check(self) -> None:
        """Refuse numbers that give no dataset.

        Raises:
            UserError: naming the flag and the allowed range.
        """
        if self.variant not in VARIANTS:
            raise UserError("--variant", f"is {self.variant!r}", f"allowed: {', '.join(VARIANTS)}")
        if self.seed < 0:
            raise UserError("--seed", f"is {self.seed}, at least 0 is expected", "e.g. --seed 0")
        if not SMALLEST_SIZE <= self.size <= LARGEST_SIZE:
            raise UserError("--size", f"is {self.size}", f"allowed: {SMALLEST_SIZE} to {LARGEST_SIZE} voxels")
        if min(self.n_train, self.n_val, self.n_test) < 0 or self.n_train + self.n_val < 1:
            shown = f"{self.n_train} {self.n_val} {self.n_test}"
            raise UserError(
                "--cases", f"are {shown}", "give numbers from 0, with at least one case to train on"
            )

    @property
    def n_training(self) -> int:
        """Cases of imagesTr."""
        return self.n_train + self.n_val


def write_synthcell(folder: Path, request: SynthcellRequest, show_progress: bool = False) -> None:
    """Write all cases and dataset.json into a dataset's folder; spacing 1 mm.

    Cases are named cell_000, cell_001, … by their index in the generator, the test cases last.
    """
    request.check()
    n_cases = request.n_training + request.n_test
    geometry = plain_geometry((request.size,) * 3)
    for index in progress_bar(range(n_cases), desc="volumes", disable=not show_progress):
        volume = make_volume(VARIANTS[request.variant], request.seed, index, request.size)
        part = "Tr" if index < request.n_training else "Ts"
        case_id = f"cell_{index:03d}"
        write_channels(folder / f"images{part}", case_id, [volume.image], geometry)
        write_labels(folder / f"labels{part}" / f"{case_id}{FILE_ENDING}", volume.labels, geometry)
    labels = {name: label for label, name in enumerate(CLASS_NAMES)}
    write_dataset_json(folder, ["synthetic"], request.n_training, labels, _notes(request))


def _notes(request: SynthcellRequest) -> dict[str, Any]:
    return {
        "description": "synthetic cells with three nested levels, after Hsu et al. 2021 (arXiv 2012.01644)",
        "parts": {f"level{i}": len(classes) for i, classes in enumerate(LEVELS, start=1)},
        "levels": {f"level{i}": classes for i, classes in enumerate(LEVELS, start=1)},
        "generator": {
            "name": "synthcell",
            "version": GENERATOR_VERSION,
            "variant": request.variant,
            "seed": request.seed,
            "size": request.size,
            "cases": {"train": request.n_train, "val": request.n_val, "test": request.n_test},
        },
    }
