"""The networks of all seeds of a line, averaged like folds, on the same test cells."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dd_nnunet.evaluation.folder import EvaluationRules, evaluate_levels
from dd_nnunet.networks.device import choose_runtime
from dd_nnunet.prediction.model_folder import ModelFolder
from dd_nnunet.prediction.predict_case import FoldEnsemble, PredictionSettings
from dd_nnunet.storage.case_store import read_case


def ensemble_summaries(
    models: Sequence[Path], prepared: Path, fold: str, train: Sequence[str], test: Sequence[str], labels: Path
) -> dict[int, dict[str, Any]]:
    """Predict the test cases with the mean of several models and score them.

    Args:
        models: model folders of one plan.
        prepared: folder of the prepared cases.
        fold: of all of them.
        train: cases on which the models' parts are matched; no label is read for it.
        test: cases to score.
        labels: folder of their true label maps.

    Returns:
        Level -> what summary.json holds.
    """
    opened = [ModelFolder.open(path) for path in models]
    planned = opened[0].configuration
    runtime = choose_runtime("cpu", planned.precision)
    with tempfile.TemporaryDirectory() as temporary:
        homes = {level: Path(temporary) / f"level{level.level}" for level in planned.levels}
        for group in planned.groups:
            networks = [model.segmenter(fold, group, runtime) for model in opened]
            ensemble = FoldEnsemble(networks, PredictionSettings(planned, runtime), group)
            for case_id in train:
                ensemble.align(read_case(prepared, case_id))
            for case_id in test:
                paths = {
                    level: homes[level] / f"{case_id}{opened[0].description.file_ending}"
                    for level in group.levels
                }
                ensemble.write(read_case(prepared, case_id), paths)
        return evaluate_levels(
            {level.level: home for level, home in homes.items()},
            labels,
            opened[0].description,
            {level.level: level.n_parts for level in planned.levels},
            EvaluationRules(tuple(test)),
        )
