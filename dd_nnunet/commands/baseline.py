"""dd_baseline: simple rivals on the same cases, levels and numbers of parts as the model."""

import argparse
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dd_nnunet.commands import cli
from dd_nnunet.commands import planning_flags as flags
from dd_nnunet.commands.baseline_setup import (
    ALL_METHODS,
    ON_FEATURES,
    Job,
    find_jobs,
    method_for_fold,
    require_diffusion,
)
from dd_nnunet.core.errors import SomeCasesFailedError, UserError
from dd_nnunet.core.units import counted

if TYPE_CHECKING:
    from dd_nnunet.evaluation.table import ScoreRow

Item = TypeVar("Item")

LOGGER = logging.getLogger(__name__)


def build_parser() -> cli.StrictParser:
    """The flags of dd_baseline."""
    parser = cli.make_parser(
        "dd_baseline",
        "Run a simple method on the validation cases of a dataset's folds, or on a folder of volumes. "
        f"{' and '.join(ON_FEATURES)} need the diffusion model of each fold, the others no training.",
    )
    parser.add_argument("-d", "--dataset", required=True, metavar="ID", help="number or name of the dataset")
    cli.add_plan_flags(parser)
    parser.add_argument(
        "--method",
        required=True,
        choices=ALL_METHODS,
        metavar="METHOD",
        help=f"the baseline: {', '.join(ALL_METHODS)}",
    )
    parser.add_argument("-f", "--fold", nargs="+", metavar="FOLD", help="0, 1, … or all; default: every fold")
    parser.add_argument(
        "-l", "--level", type=int, nargs="+", metavar="N", help="levels; default: all of the plan"
    )
    parser.add_argument("-i", "--input", metavar="IN", help="volumes to segment instead of the folds' cases")
    parser.add_argument("-o", "--output", metavar="OUT", help="where the parts of IN go, as level{l}/")
    parser.add_argument(
        "-device",
        choices=cli.DEVICES,
        default="auto",
        help=f"for {' and '.join(ON_FEATURES)}; auto takes cuda, then mps, then cpu",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of dd_baseline."""
    return cli.run(build_parser(), _run, argv)


def _run(args: argparse.Namespace) -> None:
    if (args.input is None) != (args.output is None):
        raise UserError("-i and -o", "belong together", "give both, or neither to run on the folds")
    if args.input is not None:
        _check_fold_of_folder(args)
    jobs = find_jobs(args)
    if args.input is None:
        _run_on_folds(args, jobs)
        return
    for job in jobs:
        require_diffusion(args, job, args.fold or ())
    for job in jobs:
        _run_on_folder(args, job)


def _check_fold_of_folder(args: argparse.Namespace) -> None:
    if args.method not in ON_FEATURES:
        if args.fold is not None:
            raise UserError("-f", "is for the folds' own cases", "leave it out with -i and -o")
    elif len(args.fold or ()) != 1:
        reason = f"must name the one fold whose diffusion model {args.method} takes for -i"
        raise UserError("-f", reason, "give one, e.g. -f 0")


def _run_on_folds(args: argparse.Namespace, jobs: Sequence[Job]) -> None:
    from dd_nnunet.evaluation.table import score_table

    folds_of_jobs = [_folds(args, job) for job in jobs]
    for job, folds in zip(jobs, folds_of_jobs, strict=True):
        require_diffusion(args, job, folds)
    rows = [
        row
        for job, folds in zip(jobs, folds_of_jobs, strict=True)
        for row in _rows_of_folds(args, job, folds)
    ]
    if rows:
        print(score_table(rows))


def _rows_of_folds(
    args: argparse.Namespace, job: Job, folds: Mapping[str, Sequence[str]]
) -> "list[ScoreRow]":
    from dd_nnunet.commands.validation import evaluate_validation
    from dd_nnunet.evaluation.baselines.predict import predict_case
    from dd_nnunet.storage.atomic import check_output_folder
    from dd_nnunet.storage.case_store import read_case

    prepared = job.folders.prepared(args.plans_name, job.configuration)
    output = job.folders.baseline(args.method, args.plans_name, job.configuration)
    check_output_folder(output)
    rows: list[ScoreRow] = []
    for fold, case_ids in folds.items():
        fold_folder = output / f"fold_{fold}"
        segment = method_for_fold(args, job, fold)
        for case_id in _progress(args, case_ids, f"{args.method} fold {fold}"):
            targets = job.targets(fold_folder, case_id, "validation")
            predict_case(segment, read_case(prepared, case_id), job.plan, targets)
        LOGGER.info("%s: %s written to %s", args.method, counted(len(case_ids), "case"), fold_folder)
        rows += evaluate_validation(
            args.method, job.folders, job.description, job.levels, fold_folder, case_ids
        )
    return rows


def _folds(args: argparse.Namespace, job: Job) -> dict[str, tuple[str, ...]]:
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


def _run_on_folder(args: argparse.Namespace, job: Job) -> None:
    from dd_nnunet.evaluation.baselines.predict import predict_case
    from dd_nnunet.preprocessing.case import preprocess_case
    from dd_nnunet.storage.atomic import check_output_folder
    from dd_nnunet.storage.raw_dataset import find_cases
    from dd_nnunet.storage.volume import read_volume

    failed = []
    cases = find_cases(cli.input_folder(args.input, "cases", "-i"), job.description)
    check_output_folder(Path(args.output))
    segment = method_for_fold(args, job, args.fold[0] if args.fold else "")
    for case in _progress(args, cases, args.method):
        try:
            volume = read_volume(case.channel_files, job.plan.reading)
            prepared = preprocess_case(volume, case.case_id, job.plan)
        except UserError as error:
            LOGGER.error("%s", error.line)
            failed.append(case.case_id)
            continue
        predict_case(segment, prepared, job.plan, job.targets(Path(args.output), case.case_id))
    n_written = counted(len(cases) - len(failed), "case")
    LOGGER.info("%s: %s written to %s", args.method, n_written, args.output)
    if failed:
        reason = f"{len(failed)} of {counted(len(cases), 'case')} failed: {', '.join(failed)}"
        raise SomeCasesFailedError(args.input, reason, "the errors above say why; the others are done")


def _progress(args: argparse.Namespace, items: Sequence[Item], name: str) -> Iterable[Item]:
    from dd_nnunet.storage.progress_bar import progress_bar

    bar: Iterable[Item] = progress_bar(items, desc=name, unit="case", disable=args.no_pbar or args.quiet)
    return bar
