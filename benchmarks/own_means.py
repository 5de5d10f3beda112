"""What deciding by the case's own means, and leaving out small components, does to a trained fold's predictions.

    python benchmarks/own_means.py --work DIR -d ID -f 0 [-p ddPlans] [-c 3d_fullres]

adds to benchmarks/results/own_means.json. DIR holds raw/ and preprocessed/, and results/ with the fold trained; its
held-out cases are predicted. Nothing is trained here, and nothing is written into DIR.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from gallery_rows import commit
from measuring import RESULTS, machine, write_result
from scored_prediction import predicted_summaries

from dd_nnunet.prediction.model_folder import ModelFolder
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.workspace import DatasetFolders, Workspace

# the share of bright-cluster's source
COMPONENTS = 0.3
WAYS: dict[str, dict[str, Any]] = {
    "network": {"own_means": False},
    "own means": {"own_means": True},
    f"own means, components of {COMPONENTS:g} of the largest": {
        "own_means": True,
        "smallest_component": COMPONENTS,
    },
}


def main() -> None:
    """Predict and score."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="holds raw/, preprocessed/ and results/")
    parser.add_argument("--results", type=Path, help="instead of results/ in it")
    parser.add_argument("-d", required=True, metavar="ID", help="data set")
    parser.add_argument("-f", default="0", metavar="FOLD", help="default: 0")
    parser.add_argument("-p", default="ddPlans", metavar="PLANS", help="default: ddPlans")
    parser.add_argument("-c", default="3d_fullres", metavar="CONFIGURATION", help="default: 3d_fullres")
    args = parser.parse_args()
    results = args.results or args.work / "results"
    folders = Workspace(args.work / "raw", args.work / "preprocessed", results).dataset(args.d)
    model = ModelFolder.open(folders.model(args.p, args.c))
    kept = RESULTS / "own_means.json"
    rows = read_json(kept)["rows"] if kept.exists() else {}
    rows[f"{folders.name} {args.p} {args.c} fold {args.f}"] = {
        "levels": score(model, folders, args.p, args.f),
        "machine": machine(),
        "commit": commit(),
    }
    command = "python benchmarks/own_means.py --work DIR -d ID -f FOLD -p PLANS -c CONFIGURATION"
    write_result("own_means", {"command": command, "rows": dict(sorted(rows.items()))})


def score(model: ModelFolder, folders: DatasetFolders, plans: str, fold: str) -> dict[str, Any]:
    """Level -> way -> protocol -> Dice, and HD95 of foreground classes."""
    planned = model.configuration
    prepared = folders.prepared(plans, model.configuration_name)
    found: dict[str, Any] = {}
    for way, of_the_segmenter in WAYS.items():
        changed = replace(planned, segmenter=replace(planned.segmenter, **of_the_segmenter))
        for number, summary in predicted_summaries([model], changed, folders, prepared, fold).items():
            protocols = summary["protocols"]
            row = {protocol: round(protocols[protocol]["dice"], 4) for protocol in ("hsu", "strict")}
            row["per_class"] = {
                name: round(dice, 3) for name, dice in protocols["strict"]["per_class"].items()
            }
            row["hd95_mm"] = protocols["strict"]["hd95_mm"]
            found.setdefault(f"level{number}", {})[way] = row
            print(number, way, row, flush=True)
    return found


if __name__ == "__main__":
    main()
