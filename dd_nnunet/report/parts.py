"""How large the discovered parts are, over all predicted cases."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dd_nnunet.evaluation.folder import measure_nesting
from dd_nnunet.report.collect import Collected, LevelResult
from dd_nnunet.storage.volume import read_label_map

MM3_PER_ML = 1000.0


@dataclass(frozen=True)
class PartSizes:
    """Sizes of the parts of one level.

    Args:
        case_ids: N cases.
        voxels: [N,K] voxels per case and part.
        volumes_mm3: [N,K].
    """

    case_ids: tuple[str, ...]
    voxels: npt.NDArray[np.int64]
    volumes_mm3: npt.NDArray[np.float64]

    @property
    def unit(self) -> str:
        """The unit people would use: "ml" where a part other than 0 reaches a millilitre, else "mm³"."""
        largest = self.volumes_mm3[:, 1:].max(initial=0.0)
        return "ml" if largest >= MM3_PER_ML else "mm³"

    @property
    def volumes(self) -> npt.NDArray[np.float64]:
        """[N,K] in `unit`."""
        return self.volumes_mm3 / MM3_PER_ML if self.unit == "ml" else self.volumes_mm3

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """[K] mean share of the volume, in [0,1]."""
        return np.asarray((self.voxels / self.voxels.sum(axis=1, keepdims=True)).mean(axis=0))

    @property
    def n_present(self) -> npt.NDArray[np.int64]:
        """[K] cases in which the part has a voxel."""
        return np.asarray((self.voxels > 0).sum(axis=0))


def measure_parts(predictions: Mapping[str, Path], n_parts: int) -> PartSizes | None:
    """Count the voxels of every part in every case, one file in memory at a time; None without cases.

    Args:
        predictions: label map file per case.
        n_parts: planned; a file with higher numbers adds columns.
    """
    if not predictions:
        return None
    counts, voxel_mm3 = [], []
    for path in predictions.values():
        labels, geometry = read_label_map(path)
        counts.append(np.bincount(labels.ravel(), minlength=n_parts))
        voxel_mm3.append(float(np.prod(geometry.spacing_xyz_mm)))
    width = max(len(row) for row in counts)
    voxels = np.array([np.pad(row, (0, width - len(row))) for row in counts], dtype=np.int64)
    return PartSizes(tuple(predictions), voxels, voxels * np.array(voxel_mm3)[:, None])


def empty_parts(level: int, sizes: PartSizes) -> Iterator[str]:
    """A sentence about the parts of a level that no case has a voxel of."""
    lost = [str(part) for part, n_present in enumerate(sizes.n_present) if n_present == 0]
    if lost:
        n_cases = len(sizes.case_ids)
        cases = f"all {n_cases} predicted cases" if n_cases > 1 else "the only predicted case"
        parts = f"parts {', '.join(lost)} are" if len(lost) > 1 else f"part {lost[0]} is"
        yield f"Level {level}: {parts} empty in {cases}."


def nesting_violation(pieces: Collected, level: LevelResult) -> float | None:
    """Mean share of a part that lies outside its part of the next coarser level; None where nothing is known.

    Needs no true labels: it is measured on the predictions unless the summary tells it already.
    """
    known = ((level.summary or {}).get("nesting") or {}).get("violation_rate")
    if known is not None:
        return float(known)
    coarse = next((other for other in pieces.levels if other.plan.level == level.plan.level - 1), None)
    if coarse is None or not level.predictions or not coarse.predictions:
        return None
    folders = [next(iter(found.values())).parent for found in (level.predictions, coarse.predictions)]
    names = [path.name for path in level.predictions.values()]
    rate = measure_nesting(folders[0], folders[1], names, (level.plan.n_parts, coarse.plan.n_parts))
    return None if rate["violation_rate"] is None else float(rate["violation_rate"])
