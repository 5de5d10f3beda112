"""The paper's tables in our setting: data, seeds, folds, both protocols; one command that continues where it stopped.

    python benchmarks/paper_tables.py --work DIR --effort cpu-small [--real DIR] [--tables methods ladder …]

trains what is missing, keeps every line in benchmarks/results/paper_tables/EFFORT/, writes EFFORT.md beside them and
fills the tables of documentation/explanation/results.md.
Only the commands of dd_nnunet are called; a line of a table is a plan, made by the planner and changed as
paper_rows.py says. Lines with the same diffusion model share it. A run that was made with another plan than the line
has now is refused, not mixed with others.
"""

import argparse
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gallery_rows import collapsed_levels, commit, methods_for
from measuring import machine
from paper_bench import ROWS, Bench, make_data
from paper_criteria import SCALES
from paper_data import EFFORTS, Cells, Real
from paper_page import fill, page
from paper_plans import make_plan, plan_sha256
from paper_rows import ON_FEATURES, OURS, TABLES, Table, Variant, ensemble_name
from paper_student import teach, train_cases
from scored_prediction import predicted_summaries

from dd_nnunet.core.plan import Plan
from dd_nnunet.networks.checkpoint import load_checkpoint, save_checkpoint
from dd_nnunet.networks.device import choose_runtime, list_devices
from dd_nnunet.prediction.model_folder import ModelFolder
from dd_nnunet.storage.atomic import read_json, read_record, write_json, write_text
from dd_nnunet.storage.case_store import sha256_of_record

RESULTS_PAGE = Path(__file__).parents[1] / "documentation" / "explanation" / "results.md"
OF_A_DIFFUSION_MODEL = ("diffusion", "patch_size_zyx", "spacing_zyx_mm", "normalization", "crop", "precision")


@dataclass(frozen=True)
class Run:
    """A fold of a line with a seed.

    Args:
        bench: where it is worked on.
        data: what is learnt from.
        line: of a table.
        plans_name: of the line's plan; rivals have ours.
        seed: of training.
        fold: of the data set.
        averaged: all seeds, where several networks are averaged.
    """

    bench: Bench
    data: Cells | Real
    line: Variant
    plans_name: str
    seed: int
    fold: str
    averaged: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Its key in the row."""
        seeds = self.averaged or (self.seed,)
        return f"seed {' '.join(map(str, seeds))}, fold {self.fold}"

    @property
    def row(self) -> Path:
        """The file of the line."""
        return self.bench.row(self.data, self.line.name)

    @property
    def plan(self) -> Path:
        """The file of the plan."""
        return self.bench.folders(self.data, self.seed).plans_json(self.plans_name)

    @property
    def planned(self) -> dict[str, dict[str, Any]]:
        """The plan's configurations."""
        found: dict[str, dict[str, Any]] = read_json(self.plan)["configurations"]
        return found

    def place(self, configuration: str) -> Path:
        """The folder of the trained fold."""
        return self.bench.folders(self.data, self.seed).model(self.plans_name, configuration) / (
            f"fold_{self.fold}"
        )

    def shared_diffusion(self, configuration: str) -> Path:
        """A checkpoint, of the same name for lines that train the same diffusion model."""
        planned = self.planned[configuration]
        what = json.dumps({key: planned.get(key) for key in OF_A_DIFFUSION_MODEL}, sort_keys=True)
        key = sha256_of_record((self.data.name, self.seed, self.fold, what))[:16]
        return self.bench.work / "diffusion" / f"{key}.pth"

    def is_kept(self) -> bool:
        """Whether the row has it.

        Raises:
            SystemExit: made with another plan.
        """
        kept = read_json(self.row)["runs"].get(self.name) if self.row.exists() else None
        if kept is not None and kept.get("plan_sha256") != plan_sha256(self.plan):
            raise SystemExit(
                f"{self.row}: {self.name} was made with another plan than {self.plan} is now: "
                f"delete {self.row}, and what was trained in {self.bench.work}, to make the line anew"
            )
        return kept is not None

    def keep(self, found: Mapping[str, Any], *devices: str) -> None:
        """Put it into the row, with the plan and the machine that it came from."""
        row = read_json(self.row) if self.row.exists() else {"runs": {}}
        row |= {"line": self.line.about, "data": self.data.about, "effort": self.bench.name}
        origin = {
            "plan_sha256": plan_sha256(self.plan),
            "machine": machine(*devices),
            "commit": commit(),
        }
        row["runs"][self.name] = {**found, **origin}
        write_json(self.row, row)


def train_line(bench: Bench, data: Cells | Real, variant: Variant, seed: int) -> None:
    """Train and score every fold of a line with a seed, unless the results are kept already."""
    for fold in data.folds:
        run = Run(bench, data, variant, variant.name, seed, fold)
        if run.is_kept():
            continue
        if variant.teacher:
            _teach(run, replace(run, plans_name=variant.teacher))
        for configuration in run.planned:
            _train_configuration(run, configuration)
        _keep_trained(run)
        for configuration in run.planned:
            shared = run.shared_diffusion(configuration)
            if not shared.exists():
                _share_diffusion(run.place(configuration), shared)
            if variant.name != OURS:
                shutil.rmtree(run.place(configuration) / "features", ignore_errors=True)


def _train_configuration(run: Run, configuration: str) -> None:
    """With a diffusion model of another line where there is one."""
    shared, started = run.shared_diffusion(configuration), run.place(configuration) / "diffusion"
    if run.line.teacher:
        # it is laid ready with how it was made
        takes_over = "pretrained_sha256" in read_json(started / "debug.json")["identity"]
    else:
        takes_over = shared.exists()
    given = ("-pretrained_diffusion", str(shared)) if takes_over else ()
    if not given and started.exists():
        print(f"{run.place(configuration)}: goes on")
    which = (run.data.folder, configuration, run.fold, "-p", run.plans_name, "--seed", str(run.seed))
    run.bench.commands(run.seed).run("train", *which, *given)


def _teach(run: Run, teacher: Run) -> None:
    folders = run.bench.folders(run.data, run.seed)
    train = train_cases(folders.splits_json, run.fold)
    for configuration in run.planned:
        prepared = folders.prepared(teacher.plans_name, configuration)
        models = (folders.model(name, configuration) for name in (teacher.plans_name, run.plans_name))
        teach(*models, prepared, run.fold, train)


def _keep_trained(run: Run) -> None:
    """One record of all configurations; their networks are told apart by name where there are several."""
    levels, finished, versions, diffusion = {}, {}, {}, []
    for configuration in run.planned:
        place = run.place(configuration)
        own = {path.parent.name: read_json(path) for path in sorted(place.glob("*/finished.json"))}
        versions = read_json(next(place.glob("*/debug.json")))["starts"][-1]["versions"]
        diffusion.append(diffusion_seconds(own["diffusion"], run.shared_diffusion(configuration)))
        levels |= _scores(place)
        several = f"{configuration}/" if len(run.planned) > 1 else ""
        if "pretrained" in own["diffusion"]:
            # the checkpoint's name says which model it is, wherever the work folder lies
            own["diffusion"]["pretrained"] = run.shared_diffusion(configuration).name
        finished |= {several + name: end for name, end in own.items()}
    found = {
        "levels": levels,
        "diffusion_seconds": None if None in diffusion else sum(filter(None, diffusion)),
        "features": read_features(run.planned),
        "finished": finished,
        "collapsed": collapsed_levels(finished),
        "versions": versions,
    }
    run.keep(found, *(end["device"] for end in finished.values()))


def read_features(planned: Mapping[str, Any]) -> dict[str, Any]:
    """What the losses compared with, as far as criteria depend on it: of all levels, and the stages of each."""
    of_all = next(iter(planned.values()))["features"]
    stages = {str(level["level"]): level["stages"] for its in planned.values() for level in its["levels"]}
    return {key: of_all[key] for key in SCALES} | {"stages": dict(sorted(stages.items()))}


def diffusion_seconds(finished: Mapping[str, Any], shared: Path) -> float | None:
    """What training the diffusion model took, by whichever line did; None where nobody kept it.

    Args:
        finished: its finished.json, without seconds where another line's was taken over.
        shared: the checkpoint that was taken over.
    """
    told = shared.with_suffix(".json")
    found = finished if "seconds" in finished or not told.exists() else read_json(told)
    seconds: float | None = found.get("seconds")
    return seconds


def _share_diffusion(place: Path, shared: Path) -> None:
    """Keep a diffusion model for other lines; the checkpoint comes last, for it is what they look for."""
    seconds = read_json(place / "diffusion" / "finished.json").get("seconds")
    write_json(shared.with_suffix(".json"), {"seconds": seconds})
    # its checksum is written before it, and it takes its place in one step
    save_checkpoint(shared, load_checkpoint(place / "diffusion" / "checkpoint_final.pth"))


def run_baseline(bench: Bench, data: Cells | Real, method: str, seed: int) -> None:
    """Score a rival on the same cases; those without training know no seed."""
    ours = read_record(Plan, bench.folders(data, seed).plans_json(OURS))
    wanted = [name for name, its in ours.configurations.items() if method in methods_for(its)]
    if not wanted:
        print(f"{data.name}: {method} is left out: our plan of these data has no objects")
        return
    for fold in data.folds:
        run = Run(bench, data, Variant(method, method), OURS, seed, fold)
        if run.is_kept():
            continue
        seconds, levels = 0.0, {}
        for configuration in wanted:
            which = ("-d", data.folder, "-p", OURS, "-c", configuration, "--method", method, "-f", fold)
            seconds += bench.commands(seed).run("baseline", *which)
            levels |= _scores(
                bench.folders(data, seed).baseline(method, OURS, configuration) / f"fold_{fold}"
            )
        # the others compute on the CPU
        devices = (list_devices()[0].kind,) if method in ON_FEATURES else ()
        run.keep({"levels": levels, "seconds": seconds}, *devices)


def average_seeds(bench: Bench, data: Cells | Real, line: str, seeds: Sequence[int]) -> None:
    """Score the mean of a line's networks of several seeds, unless that is kept already."""
    for fold in data.folds:
        variant = Variant(ensemble_name(line), f"{line}, seeds averaged")
        run = Run(bench, data, variant, line, seeds[0], fold, tuple(seeds))
        if not run.is_kept():
            _predict(run, line)


def predict_line(bench: Bench, data: Cells | Real, variant: Variant, seed: int) -> None:
    """Score every fold of what another line's networks say with this line's plan, unless that is kept already."""
    for fold in data.folds:
        run = Run(bench, data, variant, variant.name, seed, fold)
        if not run.is_kept():
            _predict(run, variant.networks_of)


def _predict(run: Run, networks_of: str) -> None:
    """With the networks of a line, of all seeds if they are averaged."""
    started, levels = time.monotonic(), {}
    plan = read_record(Plan, run.plan)
    for configuration, planned in plan.configurations.items():
        all_folders = [run.bench.folders(run.data, seed) for seed in run.averaged or (run.seed,)]
        models = [ModelFolder.open(folders.model(networks_of, configuration)) for folders in all_folders]
        prepared = all_folders[0].prepared(networks_of, configuration)
        summaries = predicted_summaries(models, planned, all_folders[0], prepared, run.fold)
        levels |= {str(level): scores_of(summary) for level, summary in summaries.items()}
    device = choose_runtime("auto", next(iter(plan.configurations.values())).precision).because
    run.keep({"levels": levels, "seconds": round(time.monotonic() - started, 1)}, device)


def _scores(place: Path) -> dict[str, Any]:
    """Level -> what a row keeps of the summary of the validation cases."""
    paths = sorted(place.glob("level*/validation/summary.json"))
    return {str(summary["level"]): scores_of(summary) for summary in map(read_json, paths)}


def scores_of(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Both protocols, the scores of every image, and how often parts leave the part they lie in."""
    hsu, strict = summary["protocols"]["hsu"], summary["protocols"]["strict"]
    return {
        "hsu": hsu["dice"],
        "strict": strict["dice"],
        "foreground": strict["foreground"],
        "hd95_mm": strict["hd95_mm"],
        "violation_rate": (summary.get("nesting") or {}).get("violation_rate"),
        "per_image": {entry["case"]: _of_image(entry) for entry in summary["metric_per_case"]},
    }


def _of_image(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "hsu": _short(entry["hsu"]),
        "strict": {key: _short(found["Dice"]) for key, found in entry["metrics"].items()},
        "hd95_mm": {key: _short(found["HD95"]) for key, found in entry["metrics"].items()},
    }


def _short(value: float | None) -> float | None:
    """Four decimals: of every class of every image there are many."""
    return None if value is None else round(value, 4)


def make_table(bench: Bench, table: Table, seeds: Sequence[int]) -> None:
    """All lines of a table, seed by seed, so that a table that was stopped is whole for the first ones."""
    for data in _at_hand(bench, table):
        for seed in seeds:
            for variant in table.variants:
                if make_plan(bench, data, variant):
                    make_line = predict_line if variant.networks_of else train_line
                    make_line(bench, data, variant, seed)
            for method in table.baselines:
                run_baseline(bench, data, method, seed if method in ON_FEATURES else bench.effort.seeds[0])
        if table.ensemble and len(seeds) > 1:
            average_seeds(bench, data, table.ensemble, seeds)


def _at_hand(bench: Bench, table: Table) -> Iterator[Cells | Real]:
    for data in bench.effort.data(table.data):
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
    parser.add_argument("--tables", nargs="+", choices=keys, help="default: those of the effort")
    parser.add_argument("--seeds", nargs="+", type=int, help="default: those of the effort")
    parser.add_argument("--real", type=Path, help="folder with Dataset901_TinyFLAIR")
    parser.add_argument("--rows", type=Path, default=ROWS, help="where results lie")
    parser.add_argument("--page_only", action="store_true", help="train nothing, write the page anew")
    args = parser.parse_args(argv)
    if args.work is None and not args.page_only:
        parser.error("--work is needed")
    bench = Bench(args.work or Path(), args.effort, args.real, args.rows)
    for table in TABLES:
        if table.key in (args.tables or bench.effort.tables(keys)) and not args.page_only:
            make_table(bench, table, args.seeds or bench.effort.seeds_of(table.key))
            _write_page(bench)
    _write_page(bench)


def _write_page(bench: Bench) -> None:
    write_text(bench.rows / f"{bench.name}.md", page(bench.rows / bench.name, bench.name))
    if bench.rows == ROWS:
        write_text(RESULTS_PAGE, fill(RESULTS_PAGE.read_text(encoding="utf-8"), ROWS))


if __name__ == "__main__":
    main()
