"""Gather the validation cases of several folds into one folder, with one summary."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dd_nnunet.core.dataset import DatasetDescription
from dd_nnunet.core.errors import ManyErrors, UserError
from dd_nnunet.core.splits import Fold
from dd_nnunet.core.units import counted
from dd_nnunet.evaluation.folder import SUMMARY, write_summary
from dd_nnunet.evaluation.summary import merge_summaries
from dd_nnunet.storage.atomic import atomic_path, check_output_folder, read_json


@dataclass(frozen=True)
class CrossValidation:
    """What is gathered.

    Args:
        model: the folder that holds fold_0, fold_1 …
        folds: name -> its cases.
        description: of the dataset.
        labelled: cases that have a true label map, so that the summary of their fold must be there.
        command: makes the results of a fold, with `{fold}` in place of its name; for errors.
    """

    model: Path
    folds: dict[str, Fold]
    description: DatasetDescription
    labelled: frozenset[str]
    command: str

    @property
    def output(self) -> Path:
        """Where the gathered results go."""
        return self.model / f"crossval_results_folds_{'_'.join(self.folds)}"

    def validation(self, fold: str, level: int) -> Path:
        """The validation folder of a fold and level."""
        return self.model / f"fold_{fold}" / f"level{level}" / "validation"

    def files(self, fold: str) -> tuple[str, ...]:
        """The file names that the validation folder of a fold must hold."""
        return tuple(f"{case}{self.description.file_ending}" for case in self.folds[fold].val)


def accumulate(crossval: CrossValidation, levels: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Copy the predictions of all folds to level{l}/ and merge their summaries; all or nothing is accepted.

    Returns:
        Level -> the merged summary, also written as summary.json; empty without labels.

    Raises:
        UserError: a fold is incomplete; each one is named with the command that completes it.
    """
    _refuse_incomplete(crossval, levels)
    for level in levels:
        check_output_folder(crossval.output / f"level{level}")
    merged = {}
    for level in levels:
        target = crossval.output / f"level{level}"
        for fold in crossval.folds:
            for name in crossval.files(fold):
                with atomic_path(target / name) as temporary:
                    shutil.copyfile(crossval.validation(fold, level) / name, temporary)
        files = {fold: crossval.validation(fold, level) / SUMMARY for fold in crossval.folds}
        summaries = {fold: read_json(path) for fold, path in files.items() if path.is_file()}
        if summaries:
            merged[level] = merge_summaries(summaries, crossval.description.classes_of_level(level))
            write_summary(target, merged[level])
    return merged


def _refuse_incomplete(crossval: CrossValidation, levels: Sequence[int]) -> None:
    errors = []
    for fold in crossval.folds:
        for level in levels:
            reason = _what_is_missing(crossval, fold, level)
            if reason:
                remedy = f"run: {crossval.command.format(fold=fold)}"
                errors.append(UserError(f"fold {fold} level {level}", reason, remedy))
    if errors:
        raise ManyErrors(errors)


def _what_is_missing(crossval: CrossValidation, fold: str, level: int) -> str:
    folder, names = crossval.validation(fold, level), crossval.files(fold)
    absent = [name for name in names if not (folder / name).is_file()]
    if absent:
        shown = ", ".join(absent[:3]) + (" …" if len(absent) > 3 else "")
        return f"lacks {len(absent)} of {counted(len(names), 'validation case')} ({shown}) in {folder}"
    to_score = set(crossval.folds[fold].val) & crossval.labelled
    if not to_score:
        return ""
    if not (folder / SUMMARY).is_file():
        return f"has no {SUMMARY} in {folder}"
    scored = {entry["case"] for entry in read_json(folder / SUMMARY)["metric_per_case"]}
    return "" if scored == to_score else f"its {SUMMARY} in {folder} is of other cases"
