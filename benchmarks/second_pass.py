"""What the second pass over objects does to a trained fold's held-out cases: scores with it and without.

    python benchmarks/second_pass.py --work DIR -d ID [ID ...]     # adds to benchmarks/results/second_pass.json

DIR holds raw/, preprocessed/ and results/ with fold 0 of each data set trained. Nothing is trained here; labels
score, and decide nothing.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from measuring import RESULTS, machine, write_result

from dd_nnunet.core.plan import ConfigurationPlan, LevelPlan
from dd_nnunet.core.splits import select_fold
from dd_nnunet.evaluation.folder import EvaluationRules, evaluate_levels
from dd_nnunet.networks.device import choose_runtime
from dd_nnunet.prediction.model_folder import ModelFolder
from dd_nnunet.prediction.predict_case import FoldEnsemble, PredictionSettings
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.case_store import Manifest, read_case
from dd_nnunet.storage.splits import read_splits
from dd_nnunet.storage.workspace import DatasetFolders, Workspace

PLANS, CONFIGURATION, FOLD = "ddPlans", "3d_fullres", "0"


def main() -> None:
    """Predict and score each data set twice."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="holds raw/, preprocessed/ and results/")
    parser.add_argument("-d", nargs="+", required=True, metavar="ID", help="data sets")
    args = parser.parse_args()
    workspace = Workspace(*(args.work / name for name in ("raw", "preprocessed", "results")))
    kept = RESULTS / "second_pass.json"
    rows = read_json(kept)["datasets"] if kept.exists() else {}
    for name in args.d:
        folders = workspace.dataset(name)
        rows[folders.preprocessed.name] = measure(folders) | {"machine": machine()}
        command = "python benchmarks/second_pass.py --work DIR -d ID"
        write_result("second_pass", {"command": command, "datasets": dict(sorted(rows.items()))})


def measure(folders: DatasetFolders) -> dict[str, Any]:
    """Level -> hsu and strict Dice of fold 0's held-out cases, from the network alone and sorted again."""
    model = ModelFolder.open(folders.model(PLANS, CONFIGURATION))
    prepared = folders.prepared(PLANS, CONFIGURATION)
    splits = read_splits(folders.splits_json)
    cases = select_fold(splits, FOLD, sorted(Manifest.load(prepared).cases), folders.splits_json).val
    planned = model.configuration
    if planned.objects is None:
        raise SystemExit(f"{folders.preprocessed.name}: no level starts from objects")
    levels = [level for level in planned.levels if planned.second_pass(level)]
    found: dict[str, Any] = {"n_cases": len(cases), "levels": {}}
    for second_pass in (False, True):
        configuration = replace(planned, objects=replace(planned.objects, second_pass=second_pass))
        for level, scores in predict_and_score(folders, model, configuration, levels, cases).items():
            row = found["levels"].setdefault(f"level{level}", {})
            row["sorted again" if second_pass else "network alone"] = scores
    return found


def predict_and_score(
    folders: DatasetFolders,
    model: ModelFolder,
    configuration: ConfigurationPlan,
    levels: list[LevelPlan],
    cases: tuple[str, ...],
) -> dict[int, dict[str, float]]:
    """Level -> protocol -> Dice."""
    runtime = choose_runtime("auto", configuration.precision)
    prepared = folders.prepared(PLANS, CONFIGURATION)
    with tempfile.TemporaryDirectory() as temporary:
        homes = {level.level: Path(temporary) / f"level{level.level}" for level in levels}
        for level in levels:
            network = model.segmenter(FOLD, level, runtime)
            ensemble = FoldEnsemble([network], PredictionSettings(configuration, runtime), level)
            for case_id in cases:
                target = homes[level.level] / f"{case_id}{model.description.file_ending}"
                ensemble.write(read_case(prepared, case_id), target)
        n_parts = {level.level: level.n_parts for level in levels}
        rules = EvaluationRules(cases)
        summaries = evaluate_levels(homes, folders.labels_tr, model.description, n_parts, rules)
    return {
        level: {protocol: round(s["protocols"][protocol]["dice"], 4) for protocol in ("hsu", "strict")}
        for level, s in summaries.items()
    }


if __name__ == "__main__":
    main()
