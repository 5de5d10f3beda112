"""The scores of `make demo` on its held-out volumes, kept as JSON; the README's table is made of it.

make demo && .venv/bin/python benchmarks/demo_scores.py demo      # writes benchmarks/results/demo.json
"""

import sys
from pathlib import Path

from measuring import machine, write_result

from dd_nnunet.evaluation.table import score_row, score_table
from dd_nnunet.storage.atomic import read_json

METHODS = ("kmeans", "denoise-kmeans", "objects", "dd_nnunet")


def main() -> None:
    """Collect scores, times and versions."""
    demo = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
    summaries = {
        method: {
            path.parent.name: read_json(path)
            for path in sorted((demo / "test" / method).glob("level*/summary.json"))
        }
        for method in METHODS
    }
    runs = sorted(demo.glob("results/*/ddTrainer__*/fold_0/*/finished.json"))
    debug = read_json(runs[0].with_name("debug.json"))
    keys = ("dice", "interval", "foreground", "hd95_mm")
    write_result(
        "demo",
        {
            "command": "make demo && .venv/bin/python benchmarks/demo_scores.py demo",
            "seed": debug["identity"]["seed"],
            "scores": {
                method: {
                    level: {p: {k: s["protocols"][p].get(k) for k in keys} for p in ("hsu", "strict")}
                    for level, s in levels.items()
                }
                for method, levels in summaries.items()
            },
            "training": {path.parent.name: read_json(path) for path in runs},
            "versions": debug["starts"][-1]["versions"],
            "machine": machine(*(read_json(path)["device"] for path in runs)),
        },
    )
    print(
        score_table([score_row(m, s) for m, levels in summaries.items() for s in levels.values()], "markdown")
    )


if __name__ == "__main__":
    main()
