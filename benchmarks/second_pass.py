"""What the second pass does to a trained fold's predictions: scores with it, without it, and of the rules alone.

    python benchmarks/second_pass.py --work DIR -d ID --variant regular --edge 50 --cases 20

adds to benchmarks/results/second_pass.json. DIR holds raw/, preprocessed/ and results/ with a fold of the data set
trained. The cases are fresh synthetic cells, of a seed that no data set has. Nothing is trained here.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from trained_model import keep_row, make_parser, open_model

from dataset_conversion.synthcell import VARIANTS, make_volume
from dd_nnunet.core.case import FloatArray, Geometry, PreparedCase, Volume
from dd_nnunet.core.plan import ConfigurationPlan, LevelPlan
from dd_nnunet.evaluation.folder import EvaluationRules, evaluate_levels
from dd_nnunet.networks.device import choose_runtime
from dd_nnunet.prediction.model_folder import ModelFolder
from dd_nnunet.prediction.predict_case import FoldEnsemble, PredictionSettings
from dd_nnunet.prediction.second_look import SecondLook
from dd_nnunet.preprocessing.case import preprocess_case, restore_labels, restore_slices
from dd_nnunet.regions.nested_parts import nested_parts
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.volume import write_labels

SEED = 4711
# parts [Z,Y,X] of each level, of a case and what the network says of it [parts of all levels,Z,Y,X]
Way = Callable[[PreparedCase, FloatArray], Mapping[LevelPlan, Any]]


def main() -> None:
    """Predict and score."""
    parser = make_parser(__doc__)
    parser.add_argument("--variant", choices=tuple(VARIANTS), default="regular", help="of the fresh cells")
    parser.add_argument("--edge", type=int, default=50, help="of the fresh cells, in voxels")
    parser.add_argument("--cases", type=int, default=20, help="how many fresh cells")
    parser.add_argument("--seed", type=int, default=SEED, help="of the fresh cells")
    args = parser.parse_args()
    model, folders = open_model(args)
    n_training = len(read_json(folders.splits_json)[int(args.f)]["train"])
    trained = read_json(model.path / f"fold_{args.f}" / "levels" / "debug.json")["identity"]["seed"]
    levels = score_all(model, args, range(args.cases))
    name = f"{args.variant} {args.edge}, {n_training} training cases, seed {trained}"
    found = {"n_cases": args.cases, "seed_of_cases": args.seed, "levels": levels}
    keep_row("second_pass", "-p PLANS --variant VARIANT --edge EDGE", name, found)


def score_all(model: ModelFolder, args: argparse.Namespace, cases: range) -> dict[str, Any]:
    """Level -> way -> protocol -> Dice."""
    planned = model.configuration
    if planned.objects is None:
        raise SystemExit("no level of this plan starts from objects")
    (group,) = planned.groups
    runtime = choose_runtime("cpu", planned.precision)
    settings = PredictionSettings(planned, runtime)
    ensemble = FoldEnsemble([model.segmenter(args.f, group, runtime)], settings, group)
    alone = replace(planned, objects=replace(planned.objects, second_pass=False))
    ways: dict[str, Way] = {
        "rules": by_rules(planned),
        "network alone": by_network(alone),
        "second pass": by_network(planned),
    }
    case_ids = tuple(f"cell_{index:03d}" for index in cases)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        labels = Path(temporary) / "labels"
        for index, case_id in zip(cases, case_ids, strict=True):
            case = fresh_case(planned, args.variant, args.edge, index, args.seed, labels)
            said = np.stack(list(ensemble.slices(case)), axis=1)
            for way, divide in ways.items():
                for level, parts in divide(case, said).items():
                    place = Path(temporary) / way / f"level{level.level}" / f"{case_id}.nii.gz"
                    write_labels(place, parts, case.properties.geometry)
        for way in ways:
            homes = {level.level: Path(temporary) / way / f"level{level.level}" for level in planned.levels}
            there = {number: home for number, home in homes.items() if home.is_dir()}
            n_parts = {level.level: level.n_parts for level in planned.levels if level.level in there}
            summaries = evaluate_levels(there, labels, model.description, n_parts, EvaluationRules(case_ids))
            for number, summary in summaries.items():
                row = found.setdefault(f"level{number}", {})
                row[way] = {p: round(summary["protocols"][p]["dice"], 4) for p in ("hsu", "strict")}
                print(number, way, row[way], flush=True)
    return found


def fresh_case(
    planned: ConfigurationPlan, variant: str, edge: int, index: int, seed: int, labels: Path
) -> PreparedCase:
    """A prepared synthetic cell; its labels are written."""
    cell = make_volume(VARIANTS[variant], seed, index, edge)
    geometry = Geometry((edge,) * 3, (1.0,) * 3, (0.0,) * 3, tuple(np.eye(3).ravel()))
    case_id = f"cell_{index:03d}"
    write_labels(labels / f"{case_id}.nii.gz", cell.labels, geometry)
    return preprocess_case(
        Volume(cell.image[None].astype(np.float32), geometry, ("float32",)), case_id, planned
    )


def by_rules(planned: ConfigurationPlan) -> Way:
    """What the training of these levels started from, as a prediction."""

    def divide(case: PreparedCase, said: FloatArray) -> Mapping[LevelPlan, Any]:
        assert planned.objects is not None
        found = nested_parts(case.array[0], planned.objects, case.properties.prepared_spacing_zyx_mm)
        levels = [level for level in planned.levels if planned.starts_from_objects(level)]
        return {level: restore_labels(found[level.level - 1], case.properties) for level in levels}

    return divide


def by_network(planned: ConfigurationPlan) -> Way:
    """What the network says, looked at again as it is planned."""
    (group,) = planned.groups

    def divide(case: PreparedCase, said: FloatArray) -> Mapping[LevelPlan, Any]:
        slices = SecondLook(planned, group).slices((said[:, z] for z in range(said.shape[1])), case)
        restored = restore_slices(slices, group.tree, case.properties)
        return dict(zip(group.levels, restored, strict=True))

    return divide


if __name__ == "__main__":
    main()
