"""Predicting a folder of raw cases: each case alone, with a record of what was done."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dd_nnunet.core.case import PreparedCase
from dd_nnunet.core.dataset import CaseFiles
from dd_nnunet.core.errors import DDError
from dd_nnunet.core.json_record import record_to_json
from dd_nnunet.core.plan import LevelPlan
from dd_nnunet.prediction.model_folder import ModelFolder
from dd_nnunet.prediction.predict_case import FoldEnsemble, PredictionSettings
from dd_nnunet.preprocessing.case import preprocess_case
from dd_nnunet.storage.atomic import read_json, sha256_of, write_json
from dd_nnunet.storage.case_store import sha256_of_record
from dd_nnunet.storage.volume import read_volume

LOGGER = logging.getLogger(__name__)
ALIGNMENT_CASES = 4


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
    """

    model: ModelFolder
    folds: tuple[str, ...]
    levels: tuple[LevelPlan, ...]
    settings: PredictionSettings
    output: Path
    keep_existing: bool = False
    record_name: str = "predictions.json"

    def path(self, level: LevelPlan, case_id: str) -> Path:
        """The prediction of a case at a level."""
        return self.output / f"level{level.level}" / f"{case_id}{self.model.description.file_ending}"

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
                str(self.model.path),
            )
        )


class FolderPrediction:
    """Predicts cases one by one; a bad case is recorded and the others go on.

    Args:
        job: what to predict.
        alignment_cases: of the whole folder, used to match the parts of several folds; always the same first ones,
            so that a folder split over several machines gets one numbering.
    """

    def __init__(self, job: PredictionJob, alignment_cases: Sequence[CaseFiles]) -> None:
        self.job = job
        self.record_path = job.output / job.record_name
        self.ensembles = {level: self._ensemble(level) for level in job.levels}
        if len(job.folds) > 1:
            prepared = list(self._readable(alignment_cases))
            for ensemble in self.ensembles.values():
                ensemble.align(prepared)
        self.records: dict[str, dict[str, Any]] = self._old_records()

    def run(self, cases: Sequence[CaseFiles]) -> Iterator[tuple[str, str]]:
        """Predict the cases; yields case id and "done", "kept" or "failed" as they come."""
        for case in cases:
            digests = [sha256_of(path) for path in case.channel_files]
            if self._is_done(case, digests):
                yield case.case_id, "kept"
                continue
            record: dict[str, Any] = {"sha256": digests, "arguments": self.job.fingerprint}
            started = time.monotonic()
            try:
                prepared = self._prepare(case)
                record["voxels_per_part"] = self._predict(prepared)
                record |= {"state": "done", "warnings": list(prepared.properties.warnings)}
            except DDError as error:
                LOGGER.error("%s", error.line)
                record |= {"state": "failed", "reason": error.line}
            record |= {
                "seconds": round(time.monotonic() - started, 2), "device": self.job.settings.runtime.because
            }  # fmt: skip
            self.records[case.case_id] = record
            self._write_record()
            yield case.case_id, record["state"]

    def _predict(self, case: PreparedCase) -> dict[str, list[int]]:
        counts = {}
        for level, ensemble in self.ensembles.items():
            labels = ensemble.write(case, self.job.path(level, case.properties.case_id))
            counts[f"level{level.level}"] = np.bincount(labels.ravel(), minlength=level.n_parts).tolist()
        return counts

    def _prepare(self, case: CaseFiles) -> PreparedCase:
        configuration = self.job.model.configuration
        volume = read_volume(case.channel_files, configuration.reading)
        return preprocess_case(volume, case.case_id, configuration)

    def _readable(self, cases: Sequence[CaseFiles]) -> Iterator[PreparedCase]:
        for case in cases:
            try:
                yield self._prepare(case)
            except DDError:
                # reported when its turn comes
                continue

    def _ensemble(self, level: LevelPlan) -> FoldEnsemble:
        job = self.job
        networks = [job.model.segmenter(fold, level, job.settings.runtime) for fold in job.folds]
        return FoldEnsemble(networks, job.settings, level.n_parts)

    def _old_records(self) -> dict[str, dict[str, Any]]:
        if not self.record_path.is_file():
            return {}
        cases: dict[str, dict[str, Any]] = read_json(self.record_path)["cases"]
        return cases

    def _is_done(self, case: CaseFiles, digests: Sequence[str]) -> bool:
        record = self.records.get(case.case_id, {})
        return (
            self.job.keep_existing
            and record.get("state") == "done"
            and record.get("sha256") == list(digests)
            and record.get("arguments") == self.job.fingerprint
            and all(self.job.path(level, case.case_id).is_file() for level in self.job.levels)
        )

    def _write_record(self) -> None:
        orders = {
            f"level{level.level}": {fold: order for fold, order in zip(self.job.folds, e.orders, strict=True)}
            for level, e in self.ensembles.items()
        }
        data = {
            "model": str(self.job.model.path),
            "folds": self.job.folds,
            "part_of_fold_for_each_part": orders,
            "cases": dict(sorted(self.records.items())),
        }
        write_json(self.record_path, record_to_json(data))
