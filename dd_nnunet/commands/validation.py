"""A fold's validation cases: predicted, and scored where there are labels."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dd_nnunet.core.errors import UserError

if TYPE_CHECKING:
    from dd_nnunet.core.dataset import DatasetDescription
    from dd_nnunet.core.plan import LevelGroup, LevelPlan
    from dd_nnunet.evaluation.table import ScoreRow
    from dd_nnunet.storage.workspace import DatasetFolders
    from dd_nnunet.training.setup import TrainingSetup

LOGGER = logging.getLogger(__name__)


def evaluate_validation(
    method: str,
    folders: "DatasetFolders",
    description: "DatasetDescription",
    levels: "Sequence[LevelPlan]",
    fold_folder: Path,
    case_ids: Sequence[str],
) -> "list[ScoreRow]":
    """Write summary.json into fold_k/level{l}/validation and return the rows of the table.

    Args:
        method: for the table.
        folders: of the dataset.
        description: of the dataset.
        levels: to score.
        fold_folder: fold_{k}, which holds level{l}/validation/{case}{ending}.
        case_ids: the validation cases.

    Returns:
        One row per level; none where the dataset has no labels for these cases.
    """
    from dd_nnunet.evaluation.folder import EvaluationRules, evaluate_levels, labelled_cases, write_summary
    from dd_nnunet.evaluation.table import score_row

    fold = fold_folder.name.removeprefix("fold_")
    labelled = labelled_cases(folders.labels_tr, description) if folders.raw is not None else ()
    if not set(labelled) & set(case_ids):
        LOGGER.info("%s, fold %s: no labels, so nothing is evaluated", method, fold)
        return []
    predictions = {level.level: fold_folder / f"level{level.level}" / "validation" for level in levels}
    n_parts = {level.level: level.n_parts for level in levels}
    rules = EvaluationRules(case_ids)
    summaries = evaluate_levels(predictions, folders.labels_tr, description, n_parts, rules)
    for level, summary in summaries.items():
        write_summary(predictions[level], summary)
    return [score_row(method, summary, fold) for summary in summaries.values()]


def predict_validation(
    setup: "TrainingSetup", group: "LevelGroup", fold_folder: Path, file_ending: str
) -> None:
    """Predict the fold's validation cases that are not predicted yet.

    Args:
        setup: fold, prepared cases and device.
        group: of levels, to predict.
        fold_folder: gets level{l}/validation/{case}{ending} and part_numbering.json there.
        file_ending: of the predictions.

    Raises:
        StoppedError: the run was asked to end early; what is predicted stays.
        UserError: they are not trained.
    """
    from dd_nnunet.networks.trained_segmenter import load_segmenter
    from dd_nnunet.prediction.predict_case import FoldEnsemble, PredictionSettings
    from dd_nnunet.storage.atomic import check_output_folder
    from dd_nnunet.storage.case_store import read_case
    from dd_nnunet.storage.progress_bar import progress_bar

    checkpoint = fold_folder / group.folder / "checkpoint_final.pth"
    if not checkpoint.is_file():
        raise UserError(checkpoint, "does not exist", "run the same command without --val")
    folders = {level: fold_folder / f"level{level.level}" / "validation" for level in group.levels}
    for folder in folders.values():
        check_output_folder(folder)
    paths = {
        case_id: {level: folder / f"{case_id}{file_ending}" for level, folder in folders.items()}
        for case_id in setup.fold.val
    }
    missing = [case_id for case_id, files in paths.items() if not all(map(Path.exists, files.values()))]
    if missing:
        network = load_segmenter(setup.configuration.segmenter, setup.n_channels, group, checkpoint)
        settings = PredictionSettings(setup.configuration, setup.runtime)
        ensemble = FoldEnsemble([setup.runtime.place_network(network)], settings, group)
        bar = progress_bar(
            missing, desc=f"validate {group.name}", unit="case", disable=not setup.progress_bar
        )
        for case_id in bar:
            ensemble.write(read_case(setup.reader.folder, case_id), paths[case_id])
            setup.stop.check(checkpoint.parent)
    for level, channels in zip(group.levels, group.tree.channels, strict=True):
        _write_numbering(folders[level] / "part_numbering.json", checkpoint, group, channels)


def _write_numbering(path: Path, checkpoint: Path, group: "LevelGroup", channels: slice) -> None:
    """Say which output of the network each part is, counted within the level."""
    from dd_nnunet.networks.checkpoint import load_checkpoint
    from dd_nnunet.storage.atomic import write_json

    rule = "part 0 owns most border voxels, the rest by falling volume"
    if group.nested:
        rule = "as in the labels that training started from; a part's children have the level before's order"
    order = [k - channels.start for k in load_checkpoint(checkpoint)["order"][channels]]
    write_json(path, {"rule": rule, "network_channel_of_part": order})
