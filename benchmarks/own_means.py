"""What deciding by the case's own means, and leaving out small components, does to a trained fold's predictions.

    python benchmarks/own_means.py --work DIR -d ID -f 0 [-p ddPlans] [-c 3d_fullres]

adds to benchmarks/results/own_means.json. DIR holds raw/ and preprocessed/, and results/ with the fold trained; its
held-out cases are predicted. Nothing is trained here, and nothing is written into DIR.
"""

from dataclasses import replace
from typing import Any

from scored_prediction import predicted_summaries
from trained_model import keep_row, make_parser, open_model

from dd_nnunet.prediction.model_folder import ModelFolder
from dd_nnunet.storage.workspace import DatasetFolders

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
    args = make_parser(__doc__).parse_args()
    model, folders = open_model(args)
    name = f"{folders.name} {args.p} {args.c} fold {args.f}"
    levels = score(model, folders, args.p, args.f)
    keep_row("own_means", "-f FOLD -p PLANS -c CONFIGURATION", name, {"levels": levels})


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
