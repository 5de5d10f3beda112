"""Cases predicted by trained networks as a plan says, and scored; nothing is trained or kept."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dd_nnunet.core.plan import ConfigurationPlan
from dd_nnunet.evaluation.folder import EvaluationRules, evaluate_levels
from dd_nnunet.networks.device import choose_runtime
from dd_nnunet.prediction.model_folder import ModelFolder
from dd_nnunet.prediction.predict_case import FoldEnsemble, PredictionSettings
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.case_store import read_case
from dd_nnunet.storage.workspace import DatasetFolders


def predicted_summaries(
    models: Sequence[ModelFolder],
    planned: ConfigurationPlan,
    folders: DatasetFolders,
    prepared: Path,
    fold: str,
) -> dict[int, dict[str, Any]]:
    """Predict the held-out cases with a model, or the mean of several, and score them.

    Args:
        models: of one plan. Parts of several are matched on the training cases; no label is read for it.
        planned: how is predicted: the plan of the models, or one that differs in what acts on predictions alone.
        folders: of the data set.
        prepared: folder of the prepared cases.
        fold: of all of them.

    Returns:
        Level -> what summary.json holds.
    """
    split = read_json(folders.splits_json)[int(fold)]
    description = models[0].description
    runtime = choose_runtime("auto", planned.precision)
    with tempfile.TemporaryDirectory() as temporary:
        homes = {level: Path(temporary) / f"level{level.level}" for level in planned.levels}
        for group in planned.groups:
            networks = [model.segmenter(fold, group, runtime) for model in models]
            ensemble = FoldEnsemble(networks, PredictionSettings(planned, runtime), group)
            for case_id in split["train"] if len(models) > 1 else ():
                ensemble.align(read_case(prepared, case_id))
            for case_id in split["val"]:
                paths = {
                    level: homes[level] / f"{case_id}{description.file_ending}" for level in group.levels
                }
                ensemble.write(read_case(prepared, case_id), paths)
        return evaluate_levels(
            {level.level: home for level, home in homes.items()},
            folders.labels_tr,
            description,
            {level.level: level.n_parts for level in planned.levels},
            EvaluationRules(tuple(split["val"])),
        )
