"""Predicting a folder of raw cases: each case alone, with a record of what was done."""

import itertools
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dd_nnunet.core.case import PreparedCase
from dd_nnunet.core.dataset import CaseFiles
from dd_nnunet.core.errors import DDError, DiskError, UserError
from dd_nnunet.core.json_record import record_to_json
from dd_nnunet.core.plan import LevelGroup, LevelPlan
from dd_nnunet.prediction.memory_budget import MemoryBudget
from dd_nnunet.prediction.model_folder import ModelFolder
from dd_nnunet.prediction.predict_case import FoldEnsemble, PredictionSettings, probabilities_path
from dd_nnunet.preprocessing.case import preprocess_case
from dd_nnunet.storage.atomic import read_json, sha256_of, write_json
from dd_nnunet.storage.case_store import sha256_of_record
from dd_nnunet.storage.volume import read_volume

LOGGER = logging.getLogger(__name__)
ALIGNMENT_CASES = 4
# by case id
Records = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class PredictionJob:
    """What to predict and where to.

    Args:
        model: the trained folds.
        folds: names of the folds to average; the first one's part numbers are kept.
        levels: to predict.
        settings: how.
        output: gets level{l}/{case}{file_ending} and predictions.json.
        keep_existing: leave out cases that predictions.json says are done from the same files in the same way.
        record_name: of predictions.json; runs that share a folder need one each.
        max_ram_bytes: memory of this process; a case that needs more is refused before it is begun.
    """

    model: ModelFolder
    folds: tuple[str, ...]
    levels: tuple[LevelPlan, ...]
    settings: PredictionSettings
    output: Path
    keep_existing: bool = False
    record_name: str = "predictions.json"
    max_ram_bytes: float = math.inf

    def path(self, level: LevelPlan, case_id: str) -> Path:
        """The prediction of a case at a level."""
        return self.output / f"level{level.level}" / f"{case_id}{self.model.description.file_ending}"

    def paths(self, case_id: str) -> tuple[Path, ...]:
        """All files of a case."""
        labels = [self.path(level, case_id) for level in self.levels]
        beside = [probabilities_path(path, case_id) for path in labels]
        return (*labels, *(beside if self.settings.save_probabilities else ()))

    @property
    def record_path(self) -> Path:
        """Says of each case what was done."""
        return self.output / self.record_name

    @property
    def fingerprint(self) -> str:
        """Changes with anything that changes the predictions, except the images."""
        settings = self.settings
        checkpoints = [
            self.model.checkpoint_sha256(fold, level) for fold in self.folds for level in self.levels
        ]
        return sha256_of_record(
            (
                checkpoints,
                self.model.plan,
                self.folds,
                self.levels,
                settings.step_size,
                settings.mirror,
                settings.save_probabilities,
                str(self.model.path),
            )
        )


class FolderPrediction:
    """Predicts cases one by one; a bad case is recorded and the others go on. Made by `open`.

    Args:
        job: what to predict.
        folder: all cases of the input; the first sound ones match the parts of several folds, always the same
            ones, so that a folder split over several machines gets one numbering.
        ensembles: the networks of each group of levels.
        memory: what a case may use.
        records: of the cases that earlier runs took up.
        arguments: the job's fingerprint, noted with each case.
    """

    def __init__(
        self,
        job: PredictionJob,
        folder: Sequence[CaseFiles],
        ensembles: Sequence[FoldEnsemble],
        memory: MemoryBudget,
        records: Records,
        arguments: str,
    ) -> None:
        self.job = job
        self.ensembles = ensembles
        self.records = records
        self._memory = memory
        self._arguments = arguments
        self._unaligned = tuple(folder) if len(job.folds) > 1 else ()

    @classmethod
    def open(cls, job: PredictionJob, folder: Sequence[CaseFiles]) -> "FolderPrediction":
        """Load the networks and the record of earlier runs.

        Raises:
            UserError: a level that is not trained, not enough memory for a patch, or a damaged record.
        """
        records = _old_records(job.record_path)
        groups = job.model.configuration.groups_of(job.levels)
        ensembles = [_ensemble(job, group) for group in groups]
        memory = MemoryBudget.of(ensembles, job.max_ram_bytes)
        memory.check_patch()
        return cls(job, folder, ensembles, memory, records, job.fingerprint)

    def run(self, cases: Sequence[CaseFiles]) -> Iterator[tuple[str, str]]:
        """Predict the cases; yields case id and "done", "kept" or "failed" as they come.

        Raises:
            DiskError: no space left; the cases before are done.
        """
        for case in cases:
            if self._is_done(case):
                yield case.case_id, "kept"
                continue
            self._align()
            started = time.monotonic()
            record = self._attempt(case)
            record |= {
                "seconds": round(time.monotonic() - started, 2), "device": self.job.settings.runtime.because
            }  # fmt: skip
            self.records[case.case_id] = record
            self._write_record()
            yield case.case_id, record["state"]

    def _attempt(self, case: CaseFiles) -> dict[str, Any]:
        """Predict a case; its record, whether it went well or not."""
        record: dict[str, Any] = {"arguments": self._arguments}
        try:
            record["sha256"] = _digests(case)
            prepared = self._prepare(case)
            record["voxels_per_part"] = self._predict(prepared)
            record["files"] = {self._name(p): sha256_of(p) for p in self.job.paths(case.case_id)}
            return record | {"state": "done", "warnings": list(prepared.properties.warnings)}
        except DiskError:
            # every further case would meet it too
            raise
        except MemoryError:
            line = (
                f"case {case.case_id}: there was not enough memory; end other processes, or set --max_ram GB"
            )
        except DDError as error:
            line = error.line
        LOGGER.error("%s", line)
        return record | {"state": "failed", "reason": line}

    def _predict(self, case: PreparedCase) -> dict[str, list[int]]:
        counts = {}
        paths = {level: self.job.path(level, case.properties.case_id) for level in self.job.levels}
        for ensemble in self.ensembles:
            for level, labels in ensemble.write(case, paths).items():
                # slice by slice: counting makes eight bytes of every voxel
                per_slice = (np.bincount(labels_yx.ravel(), minlength=level.n_parts) for labels_yx in labels)
                counts[f"level{level.level}"] = np.asarray(sum(per_slice)).tolist()
        return counts

    def _prepare(self, case: CaseFiles) -> PreparedCase:
        self._memory.check_file(case)
        configuration = self.job.model.configuration
        volume = read_volume(case.channel_files, configuration.reading)
        prepared = preprocess_case(volume, case.case_id, configuration)
        self._memory.check_case(prepared.properties)
        return prepared

    def _align(self) -> None:
        """Match the folds' parts, once, before the first case is predicted."""
        for case in itertools.islice(self._readable(self._unaligned), ALIGNMENT_CASES):
            for ensemble in self.ensembles:
                ensemble.align(case)
        self._unaligned = ()

    def _readable(self, cases: Sequence[CaseFiles]) -> Iterator[PreparedCase]:
        for case in cases:
            try:
                yield self._prepare(case)
            except DDError:
                # reported when its turn comes
                continue

    def _is_done(self, case: CaseFiles) -> bool:
        """Whether the record says so, of the same images and arguments, and the files are those it names."""
        record = self.records.get(case.case_id, {})
        if not self.job.keep_existing or record.get("state") != "done":
            return False
        files = record.get("files", {})
        try:
            digests = _digests(case)
        except UserError:
            # told when it is tried again
            return False
        return (
            record.get("arguments") == self._arguments
            and record.get("sha256") == digests
            and all(
                p.is_file() and files.get(self._name(p)) == sha256_of(p) for p in self.job.paths(case.case_id)
            )
        )

    def _name(self, path: Path) -> str:
        return path.relative_to(self.job.output).as_posix()

    def _write_record(self) -> None:
        orders = {
            f"level{level.level}": dict(zip(self.job.folds, ensemble.orders_of(level), strict=True))
            for ensemble in self.ensembles
            for level in ensemble.group.levels
            if level in self.job.levels
        }
        data = {
            "model": str(self.job.model.path),
            "folds": self.job.folds,
            "part_of_fold_for_each_part": orders,
            "cases": dict(sorted(self.records.items())),
        }
        write_json(self.job.record_path, record_to_json(data))


def _ensemble(job: PredictionJob, group: LevelGroup) -> FoldEnsemble:
    networks = [job.model.segmenter(fold, group, job.settings.runtime) for fold in job.folds]
    return FoldEnsemble(networks, job.settings, group)


def _old_records(path: Path) -> Records:
    if not path.is_file():
        return {}
    data = read_json(path)
    cases = data.get("cases") if isinstance(data, dict) else None
    if not isinstance(cases, dict) or not all(isinstance(record, dict) for record in cases.values()):
        raise UserError(path, "is no record of predictions ($.cases)", "remove it")
    return cases


def _digests(case: CaseFiles) -> list[str]:
    try:
        return [sha256_of(path) for path in case.channel_files]
    except OSError as error:
        where = error.filename or case.channel_files[0]
        raise UserError(where, f"cannot be read ({error.strerror})", "check the file's permissions") from None
