"""The paper's tables in our setting: data, seeds, folds, both protocols; one command that continues where it stopped.

    python benchmarks/paper_tables.py --work DIR --effort cpu-small [--real DIR] [--tables methods ladder …]

trains what is missing, keeps every line in benchmarks/results/paper_tables/EFFORT/ and writes EFFORT.md beside them.
Only the commands of dd_nnunet are called; a line of a table is a plan, made by the planner and changed as
paper_rows.py says. Lines with the same diffusion model share it.
"""

import argparse
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gallery_rows import collapsed_levels, commit
from measuring import RESULTS, machine
from paper_page import page
from paper_rows import (
    EFFORTS,
    LENGTHS,
    ON_FEATURES,
    OURS,
    TABLES,
    Cells,
    Edit,
    Effort,
    Real,
    Table,
    Variant,
    same_steps,
)
from running import Commands

from dataset_conversion.raw_folder import new_dataset, write_given_splits
from dataset_conversion.synthcell_dataset import SynthcellRequest, write_synthcell
from dd_nnunet.core.json_record import dump_json
from dd_nnunet.core.plan import Plan
from dd_nnunet.core.splits import Fold
from dd_nnunet.storage.atomic import read_json, read_record, write_json
from dd_nnunet.storage.case_store import sha256_of_record
from dd_nnunet.storage.workspace import DatasetFolders, Workspace

ROWS = RESULTS / "paper_tables"
CONFIGURATION = "3d_fullres"
# no other volume is drawn with it: seeds 0, 1000, 2000 and those of the other benchmarks chose something
DATA_SEED = 90210
OF_A_DIFFUSION_MODEL = ("diffusion", "patch_size_zyx", "spacing_zyx_mm", "normalization", "crop", "precision")


@dataclass(frozen=True)
class Bench:
    """Where one effort is worked on.

    Args:
        work: raw, prepared and trained data go there.
        name: of the effort.
        real: folder with the real data sets, or None.
        rows: the results.
    """

    work: Path
    name: str
    real: Path | None = None
    rows: Path = ROWS

    @property
    def effort(self) -> Effort:
        """How much is spent."""
        return EFFORTS[self.name]

    def commands(self, seed: int) -> Commands:
        """Runs commands whose results belong to a seed."""
        results = self.work / f"seed_{seed}"
        workspace = Workspace(self.work / "raw", self.work / "preprocessed", results)
        return Commands(workspace, self.work / "log.txt", self.work / "times.jsonl")

    def folders(self, data: Cells | Real, seed: int) -> DatasetFolders:
        """Of a data set and a seed."""
        return self.commands(seed).workspace.dataset(data.folder)

    def row(self, data: Cells | Real, line: str) -> Path:
        """The file of a line."""
        return self.rows / self.name / data.name / f"{line}.json"


def make_data(bench: Bench, data: Cells | Real) -> bool:
    """Draw or link a data set unless it is there; whether it is there now."""
    workspace = bench.commands(0).workspace
    assert workspace.raw is not None
    target = workspace.raw / data.folder
    if target.exists():
        return True
    if isinstance(data, Real):
        source = None if bench.real is None else bench.real / data.folder
        if source is None or not source.is_dir():
            return False
        workspace.raw.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.resolve(), target_is_directory=True)
        return True
    n_cases = data.n_train + data.n_test
    case_ids = tuple(f"cell_{index:03d}" for index in range(n_cases))
    with new_dataset(workspace, data.folder, overwrite=False) as folder:
        write_synthcell(
            folder, SynthcellRequest(data.variant, DATA_SEED, data.edge, n_cases, n_val=0, n_test=0)
        )
        write_given_splits(folder, [Fold(case_ids[: data.n_train], case_ids[data.n_train :])])
    return True


def make_plan(bench: Bench, data: Cells | Real, variant: Variant) -> None:
    """Plan, edit and prepare, unless that was done before."""
    commands, folders = bench.commands(0), bench.folders(data, 0)
    ours = folders.plans_json(OURS)
    if not ours.exists():
        name = ("-overwrite_plans_name", OURS)
        commands.run(
            "plan_and_preprocess", "-d", data.folder, "--preset", bench.effort.preset, *name, "--no_pp"
        )
        edit_plan(ours, bench.effort.lengths or {})
    target = folders.plans_json(variant.name)
    if variant.flags and not target.exists():
        name = ("-overwrite_plans_name", variant.name)
        commands.run("plan_and_preprocess", "-d", data.folder, *variant.flags, *name, "--no_pp")
        edit_plan(target, _lengths_of(ours, target))
    elif not target.exists():
        shutil.copy(ours, target)
        edit_plan(target, variant.edits or {}, variant.name)
    if not (folders.prepared(variant.name, CONFIGURATION) / "manifest.json").exists():
        commands.run(
            "plan_and_preprocess",
            "-d",
            data.folder,
            "-plans_name",
            variant.name,
            "-np",
            "2",
            function="main_preprocess",
        )


def _lengths_of(ours: Path, other: Path) -> dict[tuple[str, str], Any]:
    """What another planner's plan takes over from ours; the networks of the released code stay its own."""
    given = read_json(ours)["configurations"][CONFIGURATION]
    planned = read_json(other)["configurations"][CONFIGURATION]
    found = {(part, key): given[part][key] for part, key in LENGTHS}
    found["segmenter", "epochs"] = same_steps(given)
    if planned["segmenter"].get("inner_multiple", 1) > 1:
        del found["segmenter", "features_per_stage"]
    return found


def edit_plan(path: Path, edits: Mapping[tuple[str, str], Edit], plans_name: str | None = None) -> None:
    """Change values of the one configuration of a plan, and see that it is a plan still."""
    plan = read_json(path)
    if list(plan["configurations"]) != [CONFIGURATION]:
        raise SystemExit(f"{path}: has configurations {', '.join(plan['configurations'])}")
    configuration = plan["configurations"][CONFIGURATION]
    # all from the plan as it was
    values = {place: edit(configuration) if callable(edit) else edit for place, edit in edits.items()}
    for (part, key), value in values.items():
        if key:
            configuration[part][key] = value
        else:
            configuration[part] = value
    plan["plans_name"] = plans_name or plan["plans_name"]
    write_json(path, plan)
    read_record(Plan, path)


def train_line(bench: Bench, data: Cells | Real, variant: Variant, seed: int) -> None:
    """Train and score every fold of a line with a seed, unless the results are kept already."""
    for fold in data.folds:
        if _is_kept(bench, data, variant.name, seed, fold):
            continue
        folders = bench.folders(data, seed)
        place = folders.model(variant.name, CONFIGURATION) / f"fold_{fold}"
        shared = bench.work / "diffusion" / f"{_diffusion_key(bench, data, variant, seed, fold)}.pth"
        given = ("-pretrained_diffusion", str(shared)) if shared.exists() else ()
        if not given and (place / "diffusion").exists():
            print(f"{place}: goes on")
        seconds = bench.commands(seed).run(
            "train", data.folder, CONFIGURATION, fold, "-p", variant.name, "--seed", str(seed), *given
        )
        finished = {path.parent.name: read_json(path) for path in sorted(place.glob("*/finished.json"))}
        debug = read_json(next(place.glob("*/debug.json")))
        run = {
            "levels": _scores(place),
            "seconds": seconds,
            "finished": finished,
            "collapsed": collapsed_levels(finished),
            "versions": debug["starts"][-1]["versions"],
        }
        _keep(bench, data, variant, seed, fold, run)
        if not shared.exists():
            shared.parent.mkdir(parents=True, exist_ok=True)
            for file in (place / "diffusion").glob("checkpoint_final.pth*"):
                shutil.copy(file, shared.with_name(file.name.replace("checkpoint_final", shared.stem)))
        if variant.name != OURS:
            shutil.rmtree(place / "features", ignore_errors=True)


def run_baseline(bench: Bench, data: Cells | Real, method: str, seed: int) -> None:
    """Score a rival on the same cases; those without training know no seed."""
    line = Variant(method, method)
    for fold in data.folds:
        if _is_kept(bench, data, method, seed, fold):
            continue
        commands = bench.commands(seed)
        seconds = commands.run(
            "baseline",
            "-d",
            data.folder,
            "-p",
            OURS,
            "-c",
            CONFIGURATION,
            "--method",
            method,
            "-f",
            fold,
        )
        place = bench.folders(data, seed).baseline(method, OURS, CONFIGURATION) / f"fold_{fold}"
        _keep(bench, data, line, seed, fold, {"levels": _scores(place), "seconds": seconds})


def _diffusion_key(bench: Bench, data: Cells | Real, variant: Variant, seed: int, fold: str) -> str:
    """The same for lines that train the same diffusion model."""
    plan = read_json(bench.folders(data, seed).plans_json(variant.name))["configurations"][CONFIGURATION]
    what = {key: plan.get(key) for key in OF_A_DIFFUSION_MODEL}
    return sha256_of_record((data.name, seed, fold, json.dumps(what, sort_keys=True)))[:16]


def _scores(place: Path) -> dict[str, Any]:
    """Level -> both protocols, the scores of every image, and how often parts leave the part they lie in."""
    found = {}
    for path in sorted(place.glob("level*/validation/summary.json")):
        summary = read_json(path)
        hsu, strict = summary["protocols"]["hsu"], summary["protocols"]["strict"]
        found[str(summary["level"])] = {
            "hsu": hsu["dice"],
            "strict": strict["dice"],
            "foreground": strict["foreground"],
            "hd95_mm": strict["hd95_mm"],
            "violation_rate": (summary.get("nesting") or {}).get("violation_rate"),
            "per_image": {entry["case"]: _of_image(entry) for entry in summary["metric_per_case"]},
        }
    return found


def _of_image(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "hsu": entry["hsu"],
        "strict": {key: found["Dice"] for key, found in entry["metrics"].items()},
        "hd95_mm": {key: found["HD95"] for key, found in entry["metrics"].items()},
    }


def _is_kept(bench: Bench, data: Cells | Real, line: str, seed: int, fold: str) -> bool:
    path = bench.row(data, line)
    return path.exists() and f"seed {seed}, fold {fold}" in read_json(path)["runs"]


def _keep(
    bench: Bench, data: Cells | Real, variant: Variant, seed: int, fold: str, run: dict[str, Any]
) -> None:
    path = bench.row(data, variant.name)
    row = read_json(path) if path.exists() else {"runs": {}}
    row |= {"line": variant.about, "data": data.about, "effort": bench.name}
    about = {"machine": machine(), "commit": commit()}
    row["runs"][f"seed {seed}, fold {fold}"] = run | about
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump_json(row), encoding="utf-8")


def make_table(bench: Bench, table: Table, seeds: Sequence[int]) -> None:
    """All lines of a table, seed by seed, so that a table that was stopped is whole for the first ones."""
    for data in _at_hand(bench, table):
        for seed in seeds:
            for variant in table.variants:
                make_plan(bench, data, variant)
                train_line(bench, data, variant, seed)
            for method in table.baselines:
                if method in ON_FEATURES or seed == seeds[0]:
                    run_baseline(bench, data, method, seed)


def _at_hand(bench: Bench, table: Table) -> Iterator[Cells | Real]:
    for data in bench.effort.data(table):
        if make_data(bench, data):
            yield data
        else:
            print(f"{table.key}: left out: give --real, a folder that holds {data.folder}")


def main(argv: Sequence[str] | None = None) -> None:
    """Make the tables."""
    keys = tuple(table.key for table in TABLES)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, help="raw, prepared and trained data go there")
    parser.add_argument("--effort", choices=tuple(EFFORTS), default="cpu-small", help="default: cpu-small")
    parser.add_argument("--tables", nargs="+", choices=keys, default=keys, help="default: all")
    parser.add_argument("--seeds", nargs="+", type=int, help="default: those of the effort")
    parser.add_argument("--real", type=Path, help="folder with Dataset901_TinyFLAIR")
    parser.add_argument("--rows", type=Path, default=ROWS, help="where results lie")
    parser.add_argument("--page_only", action="store_true", help="train nothing, write the page anew")
    args = parser.parse_args(argv)
    if args.work is None and not args.page_only:
        parser.error("--work is needed")
    bench = Bench(args.work or Path(), args.effort, args.real, args.rows)
    for table in TABLES:
        if table.key in args.tables and not args.page_only:
            make_table(bench, table, args.seeds or bench.effort.seeds)
            _write_page(bench)
    _write_page(bench)


def _write_page(bench: Bench) -> None:
    bench.rows.mkdir(parents=True, exist_ok=True)
    (bench.rows / f"{bench.name}.md").write_text(page(bench.rows / bench.name, bench.name), encoding="utf-8")


if __name__ == "__main__":
    main()
