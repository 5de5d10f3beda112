"""All folds of a dataset beside its baselines, as one JSON and one table, with device, versions and times.

dd_plan_and_preprocess -d 902 --preset fast --parts 2 4 8
for fold in 0 1 2 3 4; do dd_train 902 3d_fullres $fold; done
for method in kmeans denoise-kmeans; do dd_baseline -d 902 --method $method; done
dd_accumulate_crossval_results -d 902 -c 3d_fullres
for method in kmeans denoise-kmeans; do
    dd_accumulate_crossval_results -d 902 -c 3d_fullres --baseline $method
done
python benchmarks/crossval_table.py -d 902      # writes results/crossval_Dataset902_….json and .md
"""

import argparse
from pathlib import Path
from typing import Any

from measuring import RESULTS, machine, write_result

from dd_nnunet.evaluation.table import score_row, score_table
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.workspace import Workspace

FOLDS = "0_1_2_3_4"


def runs_of(model: Path) -> dict[str, Any]:
    """Per fold and run: device, seconds, collapsed or not, versions."""
    found = {}
    for path in sorted(model.glob("fold_[0-4]/*/finished.json")):
        start = read_json(path.with_name("debug.json"))["starts"][-1]
        name = f"{path.parent.parent.name}/{path.parent.name}"
        found[name] = {**read_json(path), "versions": start["versions"]}
    return found


def main() -> None:
    """Collect what the commands above have written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-d", required=True, help="dataset")
    parser.add_argument("--note", default="", help="kept with the result, e.g. the commit it was trained at")
    args = parser.parse_args()
    folders = Workspace.from_environment().dataset(args.d)
    model = folders.model("ddPlans", "3d_fullres")
    methods = {"dd_nnunet": model}
    for method in ("kmeans", "denoise-kmeans"):
        methods[method] = folders.baseline(method, "ddPlans", "3d_fullres")
    summaries = {
        name: {
            path.parent.name: read_json(path)
            for path in sorted((folder / f"crossval_results_folds_{FOLDS}").glob("level*/summary.json"))
        }
        for name, folder in methods.items()
    }
    rows = [score_row(name, summary) for name, levels in summaries.items() for summary in levels.values()]
    runs = runs_of(model)
    plan = read_json(model / "plans.json")
    name = f"crossval_{folders.name}"
    write_result(
        name,
        {
            "command": f"python benchmarks/crossval_table.py -d {args.d}",
            "note": args.note,
            "preset": plan["preset"],
            "decisions": [f"{d['name']}: {d['value']}" for d in plan["decisions"]],
            "scores": {
                method: {
                    level: {
                        **{
                            p: {k: v for k, v in s["protocols"][p].items() if k != "per_class"}
                            for p in s["protocols"]
                        },
                        "nesting": s.get("nesting"),
                    }
                    for level, s in levels.items()
                }
                for method, levels in summaries.items()
            },
            "seconds_of_training": sum(float(run["seconds"]) for run in runs.values()),
            "runs": runs,
            "machine": machine(*(run["device"] for run in runs.values())),
        },
    )
    (RESULTS / f"{name}.md").write_text(score_table(rows, "markdown"), encoding="utf-8")
    print(score_table(rows))


if __name__ == "__main__":
    main()
