"""dd_baseline: training-free rivals on the same cases, levels and numbers of parts as the model."""

import argparse
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dd_nnunet.commands import cli
from dd_nnunet.commands import planning_flags as flags
from dd_nnunet.core.errors import SomeCasesFailedError, UserError
from dd_nnunet.core.units import counted

if TYPE_CHECKING:
    from dd_nnunet.core.dataset import DatasetDescription
    from dd_nnunet.core.plan import ConfigurationPlan, LevelPlan
    from dd_nnunet.evaluation.table import ScoreRow
    from dd_nnunet.storage.workspace import DatasetFolders

Item = TypeVar("Item")

LOGGER = logging.getLogger(__name__)
OBJECTS = "objects"
# the keys of evaluation.baselines.METHODS, which is imported only when a command runs
METHOD_NAMES = ("kmeans", "denoise-kmeans", OBJECTS)


def build_parser() -> cli.StrictParser:
    """The flags of dd_baseline."""
    parser = cli.make_parser(
        "dd_baseline",
        "Run a training-free method on the validation cases of a dataset's folds, or on a folder of volumes.",
    )
    parser.add_argument("-d", "--dataset", required=True, metavar="ID", help="number or name of the dataset")
    cli.add_plan_flags(parser)
    parser.add_argument("--method", required=True, choices=METHOD_NAMES, help="the baseline")
    parser.add_argument("-f", "--fold", nargs="+", metavar="FOLD", help="0, 1, … or all; default: every fold")
    parser.add_argument(
        "-l", "--level", type=int, nargs="+", metavar="N", help="levels; default: all of the plan"
    )
    parser.add_argument("-i", "--input", metavar="IN", help="volumes to segment instead of the folds' cases")
    parser.add_argument("-o", "--output", metavar="OUT", help="where the parts of IN go, as level{l}/")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of dd_baseline."""
    return cli.run(build_parser(), _run, argv)


def _run(args: argparse.Namespace) -> None:
    if (args.input is None) != (args.output is None):
        raise UserError("-i and -o", "belong together", "give both, or neither to run on the folds")
    if args.input is not None and args.fold is not None:
        raise UserError("-f", "is for the folds' own cases", "leave it out with -i and -o")
    jobs = _jobs(args)
    if args.input is None:
        _run_on_folds(args, jobs)
        return
    for job in jobs:
        _run_on_folder(args, job)


@dataclass(frozen=True)
class _Job:
    """The dataset, a configuration of its plan, and the levels asked of it."""

    folders: "DatasetFolders"
    description: "DatasetDescription"
    configuration: str
    plan: "ConfigurationPlan"
    levels: "tuple[LevelPlan, ...]"

    def targets(self, folder: Path, case_id: str, below: str = "") -> "dict[Path, LevelPlan]":
        """The file of a case at every level: folder/level{l}/below/{case}{ending}."""
        name = f"{case_id}{self.description.file_ending}"
        return {folder / f"level{level.level}" / below / name: level for level in self.levels}


def _jobs(args: argparse.Namespace) -> list[_Job]:
    from dd_nnunet.storage.raw_dataset import load_description

    folders = cli.workspace(args).dataset(args.dataset)
    description = load_description(folders)
    plan = cli.read_plan(folders, args.plans_name, args.dataset)
    chosen = cli.levels_by_configuration(plan, args.configuration, args.level)
    jobs = [
        _Job(folders, description, name, plan.configuration(name), levels) for name, levels in chosen.items()
    ]
    return jobs if args.method != OBJECTS else _from_objects(jobs)


def _from_objects(jobs: Sequence[_Job]) -> list[_Job]:
    """The jobs with those of their levels alone that start from objects.

    Raises:
        UserError: none does.
    """
    kept = []
    for job in jobs:
        levels = tuple(level for level in job.levels if job.plan.starts_from_objects(level))
        left_out = [str(level.level) for level in job.levels if level not in levels]
        if left_out:
            LOGGER.warning(
                "level %s of %s does not start from objects; left out", " ".join(left_out), job.configuration
            )
        if levels:
            kept.append(replace(job, levels=levels))
    if not kept:
        raise UserError(
            "--method objects", "no level of the plan starts from objects", "choose another method"
        )
    return kept


def _run_on_folds(args: argparse.Namespace, jobs: Sequence[_Job]) -> None:
    from dd_nnunet.evaluation.table import score_table

    rows = [row for job in jobs for row in _rows_of_folds(args, job)]
    if rows:
        print(score_table(rows))


def _rows_of_folds(args: argparse.Namespace, job: _Job) -> "list[ScoreRow]":
    from dd_nnunet.commands.validation import evaluate_validation
    from dd_nnunet.evaluation.baselines.predict import predict_case
    from dd_nnunet.storage.atomic import check_output_folder
    from dd_nnunet.storage.case_store import read_case

    prepared = job.folders.prepared(args.plans_name, job.configuration)
    output = job.folders.baseline(args.method, args.plans_name, job.configuration)
    check_output_folder(output)
    rows: list[ScoreRow] = []
    for fold, case_ids in _folds(args, job).items():
        fold_folder = output / f"fold_{fold}"
        for case_id in _progress(args, case_ids, f"{args.method} fold {fold}"):
            targets = job.targets(fold_folder, case_id, "validation")
            predict_case(args.method, read_case(prepared, case_id), job.plan, targets)
        LOGGER.info("%s: %s written to %s", args.method, counted(len(case_ids), "case"), fold_folder)
        rows += evaluate_validation(
            args.method, job.folders, job.description, job.levels, fold_folder, case_ids
        )
    return rows


def _folds(args: argparse.Namespace, job: _Job) -> dict[str, tuple[str, ...]]:
    """Fold -> its validation cases."""
    from dd_nnunet.core.splits import select_fold
    from dd_nnunet.storage.case_store import Manifest
    from dd_nnunet.storage.splits import read_splits

    prepared = job.folders.prepared(args.plans_name, job.configuration)
    case_ids = sorted(Manifest.load(prepared).cases)
    if not case_ids:
        command = flags.preparing(args.dataset, job.configuration, args.plans_name)
        raise UserError(prepared, "holds no prepared cases", f"run: {command}")
    splits_json = job.folders.splits_json
    splits = read_splits(splits_json)
    names = args.fold or [str(number) for number in range(len(splits))] or ["all"]
    return {name: select_fold(splits, name, case_ids, splits_json).val for name in names}


def _run_on_folder(args: argparse.Namespace, job: _Job) -> None:
    from dd_nnunet.evaluation.baselines.predict import predict_case
    from dd_nnunet.preprocessing.case import preprocess_case
    from dd_nnunet.storage.atomic import check_output_folder
    from dd_nnunet.storage.raw_dataset import find_cases
    from dd_nnunet.storage.volume import read_volume

    failed = []
    cases = find_cases(cli.input_folder(args.input, "cases", "-i"), job.description)
    check_output_folder(Path(args.output))
    for case in _progress(args, cases, args.method):
        try:
            volume = read_volume(case.channel_files, job.plan.reading)
            prepared = preprocess_case(volume, case.case_id, job.plan)
        except UserError as error:
            LOGGER.error("%s", error.line)
            failed.append(case.case_id)
            continue
        predict_case(args.method, prepared, job.plan, job.targets(Path(args.output), case.case_id))
    n_written = counted(len(cases) - len(failed), "case")
    LOGGER.info("%s: %s written to %s", args.method, n_written, args.output)
    if failed:
        reason = f"{len(failed)} of {counted(len(cases), 'case')} failed: {', '.join(failed)}"
        raise SomeCasesFailedError(args.input, reason, "the errors above say why; the others are done")


def _progress(args: argparse.Namespace, items: Sequence[Item], name: str) -> Iterable[Item]:
    from dd_nnunet.storage.progress_bar import progress_bar

    bar: Iterable[Item] = progress_bar(items, desc=name, unit="case", disable=args.no_pbar or args.quiet)
    return bar
