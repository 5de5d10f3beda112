"""Scores of a fold's validation cases, where there are labels: what dd_train and dd_baseline share."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dd_nnunet.core.dataset import DatasetDescription
    from dd_nnunet.core.plan import LevelPlan
    from dd_nnunet.evaluation.table import ScoreRow
    from dd_nnunet.storage.workspace import DatasetFolders

LOGGER = logging.getLogger(__name__)


def evaluate_validation(
    name: str,
    folders: "DatasetFolders",
    description: "DatasetDescription",
    levels: "Sequence[LevelPlan]",
    fold_folder: Path,
    case_ids: Sequence[str],
) -> "list[ScoreRow]":
    """Write summary.json into fold_k/level{l}/validation and return the rows of the table.

    Args:
        name: of the method and fold, for the table.
        folders: of the dataset.
        description: of the dataset.
        levels: to score.
        fold_folder: holds level{l}/validation/{case}{ending}.
        case_ids: the validation cases.

    Returns:
        One row per level; none where the dataset has no labels for these cases.
    """
    from dd_nnunet.evaluation.folder import evaluate_levels, labelled_cases, write_summary
    from dd_nnunet.evaluation.table import score_row

    labelled = labelled_cases(folders.labels_tr, description) if folders.raw is not None else ()
    if not set(labelled) & set(case_ids):
        LOGGER.info("%s: no labels, so nothing is evaluated", name)
        return []
    predictions = {level.level: fold_folder / f"level{level.level}" / "validation" for level in levels}
    n_parts = {level.level: level.n_parts for level in levels}
    summaries = evaluate_levels(predictions, folders.labels_tr, description, n_parts, case_ids)
    for level, summary in summaries.items():
        write_summary(predictions[level], summary)
    return [score_row(name, summary) for summary in summaries.values()]
