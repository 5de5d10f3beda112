"""What the second pass does to a trained fold's predictions: scores with it, without it, and of the rules alone.

    python benchmarks/second_pass.py --work DIR -d ID --variant regular --edge 50 --cases 20

adds to benchmarks/results/second_pass.json. DIR holds raw/, preprocessed/ and results/ with fold 0 of the data set
trained. The cases are fresh synthetic cells, of a seed that no data set has. Nothing is trained here.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from measuring import RESULTS, machine, write_result

from dataset_conversion.synthcell import VARIANTS, make_volume
from dd_nnunet.core.case import Geometry, PreparedCase, Volume
from dd_nnunet.core.plan import ConfigurationPlan, LevelPlan
from dd_nnunet.evaluation.folder import EvaluationRules, evaluate_levels
from dd_nnunet.networks.device import choose_runtime
from dd_nnunet.prediction.model_folder import ModelFolder
from dd_nnunet.prediction.predict_case import FoldEnsemble, PredictionSettings
from dd_nnunet.preprocessing.case import preprocess_case, restore_labels
from dd_nnunet.regions.nested_parts import nested_parts
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.volume import write_labels
from dd_nnunet.storage.workspace import Workspace

PLANS, CONFIGURATION, FOLD = "ddPlans", "3d_fullres", "0"
SEED = 4711
Predictor = Callable[[PreparedCase, Mapping[LevelPlan, Path]], object]


def main() -> None:
    """Predict and score."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="holds raw/, preprocessed/ and results/")
    parser.add_argument("-d", required=True, metavar="ID", help="data set")
    parser.add_argument("--variant", choices=tuple(VARIANTS), default="regular", help="of the fresh cells")
    parser.add_argument("--edge", type=int, default=50, help="of the fresh cells, in voxels")
    parser.add_argument("--cases", type=int, default=20, help="how many fresh cells")
    args = parser.parse_args()
    folders = Workspace(*(args.work / name for name in ("raw", "preprocessed", "results"))).dataset(args.d)
    model = ModelFolder.open(folders.model(PLANS, CONFIGURATION))
    rows = score_all(model, args.variant, args.edge, args.cases)
    kept = RESULTS / "second_pass.json"
    every = read_json(kept)["rows"] if kept.exists() else {}
    every[f"{args.variant} {args.edge}"] = {
        "n_cases": args.cases,
        "seed": SEED,
        "n_training": len(read_json(folders.splits_json)[0]["train"]),
        "levels": rows,
        "machine": machine(),
    }
    command = "python benchmarks/second_pass.py --work DIR -d ID --variant VARIANT --edge EDGE"
    write_result("second_pass", {"command": command, "rows": dict(sorted(every.items()))})


def score_all(model: ModelFolder, variant: str, edge: int, n_cases: int) -> dict[str, Any]:
    """Level -> way -> protocol -> Dice."""
    planned = model.configuration
    if planned.objects is None:
        raise SystemExit("no level of this plan starts from objects")
    alone = replace(planned, objects=replace(planned.objects, second_pass=False))
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        labels = Path(temporary) / "labels"
        cases = [fresh_case(planned, variant, edge, index, labels) for index in range(n_cases)]
        ways = {
            "rules": by_rules(planned),
            "network alone": by_network(model, alone),
            "second pass": by_network(model, planned),
        }
        for way, predict in ways.items():
            homes = {level: Path(temporary) / way / f"level{level.level}" for level in planned.levels}
            for case in cases:
                predict(case, {n: home / f"{case.properties.case_id}.nii.gz" for n, home in homes.items()})
            rules = EvaluationRules(tuple(case.properties.case_id for case in cases))
            there = {level: home for level, home in homes.items() if home.is_dir()}
            summaries = evaluate_levels(
                {level.level: home for level, home in there.items()},
                labels,
                model.description,
                {level.level: level.n_parts for level in there},
                rules,
            )
            for number, summary in summaries.items():
                row = found.setdefault(f"level{number}", {})
                row[way] = {p: round(summary["protocols"][p]["dice"], 4) for p in ("hsu", "strict")}
                nesting = summary.get("nesting") or {}
                row[way]["violations"] = nesting.get("violation_rate")
                print(number, way, row[way], flush=True)
    return found


def fresh_case(planned: ConfigurationPlan, variant: str, edge: int, index: int, labels: Path) -> PreparedCase:
    """A prepared synthetic cell; its labels are written."""
    cell = make_volume(VARIANTS[variant], SEED, index, edge)
    geometry = Geometry((edge,) * 3, (1.0,) * 3, (0.0,) * 3, tuple(np.eye(3).ravel()))
    case_id = f"cell_{index:03d}"
    write_labels(labels / f"{case_id}.nii.gz", cell.labels, geometry)
    return preprocess_case(
        Volume(cell.image[None].astype(np.float32), geometry, ("float32",)), case_id, planned
    )


def by_rules(planned: ConfigurationPlan) -> Predictor:
    """What the training of these levels started from, as a prediction."""

    def predict(case: PreparedCase, paths: Mapping[LevelPlan, Path]) -> None:
        spacing = case.properties.prepared_spacing_zyx_mm
        found = nested_parts(case.array[0], planned.objects, spacing)
        for level, path in paths.items():
            if planned.starts_from_objects(level):
                labels = restore_labels(found[level.level - 1], case.properties)
                write_labels(path, labels, case.properties.geometry)

    return predict


def by_network(model: ModelFolder, planned: ConfigurationPlan) -> Predictor:
    """The trained segmenters, with the second pass that is planned."""
    runtime = choose_runtime("cpu", planned.precision)
    settings = PredictionSettings(planned, runtime)
    groups = planned.groups_of(
        level for level in planned.levels if level.level in model.finished_levels(FOLD)
    )
    ensembles = [FoldEnsemble([model.segmenter(FOLD, group, runtime)], settings, group) for group in groups]

    def predict(case: PreparedCase, paths: Mapping[LevelPlan, Path]) -> None:
        for ensemble in ensembles:
            ensemble.write(case, paths)

    return predict


if __name__ == "__main__":
    main()
