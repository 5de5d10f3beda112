"""dd_accumulate_crossval_results: the validation cases of all folds in one folder, with one summary."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dd_nnunet.commands import cli
from dd_nnunet.commands.baseline_setup import ALL_METHODS
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.plan_names import plans_flag

if TYPE_CHECKING:
    from dd_nnunet.core.dataset import DatasetDescription
    from dd_nnunet.evaluation.crossval import CrossValidation
    from dd_nnunet.storage.workspace import DatasetFolders

LOGGER = logging.getLogger(__name__)


def build_parser() -> cli.StrictParser:
    """The flags of dd_accumulate_crossval_results."""
    parser = cli.make_parser(
        "dd_accumulate_crossval_results",
        "Gather the folds' validation cases into crossval_results_folds_…/level{l}/ and merge their scores.",
    )
    parser.add_argument("-d", "--dataset", required=True, metavar="ID", help="number or name of the dataset")
    cli.add_plan_flags(parser)
    parser.add_argument("-f", "--fold", nargs="+", metavar="FOLD", help="folds; default: all of the splits")
    parser.add_argument(
        "-l", "--level", type=int, nargs="+", metavar="N", help="levels; default: all of the plan"
    )
    parser.add_argument(
        "--baseline",
        choices=ALL_METHODS,
        metavar="METHOD",
        help=f"the folds of a baseline, {', '.join(ALL_METHODS)}, instead of the model's",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of dd_accumulate_crossval_results."""
    return cli.run(build_parser(), _run, argv)


def _run(args: argparse.Namespace) -> None:
    from dd_nnunet.evaluation.crossval import accumulate
    from dd_nnunet.evaluation.table import score_row, score_table
    from dd_nnunet.storage.raw_dataset import load_description

    folders = cli.workspace(args).dataset(args.dataset)
    description = load_description(folders)
    plan = cli.read_plan(folders, args.plans_name, args.dataset)
    rows = []
    for configuration, levels in cli.levels_by_configuration(plan, args.configuration, args.level).items():
        crossval = _crossval(args, configuration, folders, description)
        summaries = accumulate(crossval, [level.level for level in levels])
        LOGGER.info("folds %s gathered in %s", " ".join(crossval.folds), crossval.output)
        rows += [score_row(args.baseline or "dd_nnunet", summary) for summary in summaries.values()]
    if rows:
        print(score_table(rows))
    else:
        LOGGER.info("no labels, so there are no scores")


def _crossval(
    args: argparse.Namespace,
    configuration: str,
    folders: "DatasetFolders",
    description: "DatasetDescription",
) -> "CrossValidation":
    from dd_nnunet.core.splits import select_fold
    from dd_nnunet.evaluation.crossval import CrossValidation
    from dd_nnunet.evaluation.folder import labelled_cases
    from dd_nnunet.storage.splits import read_splits

    if args.fold and "all" in args.fold:
        raise UserError("-f all", "validates on the cases it trains on", "name folds 0, 1, …")
    splits = read_splits(folders.splits_json)
    if not splits:
        raise UserError(folders.splits_json, "holds no folds", "one case cannot be cross-validated")
    case_ids = [case for fold in splits for case in fold.val]
    names = sorted(set(args.fold or map(str, range(len(splits)))), key=lambda name: (len(name), name))
    return CrossValidation(
        model=_model(args, configuration, folders),
        folds={name: select_fold(splits, name, case_ids, folders.splits_json) for name in names},
        description=description,
        labelled=frozenset(labelled_cases(folders.labels_tr, description) if folders.raw is not None else ()),
        command=_command(args, configuration),
    )


def _model(args: argparse.Namespace, configuration: str, folders: "DatasetFolders") -> Path:
    if args.baseline:
        return folders.baseline(args.baseline, args.plans_name, configuration)
    return folders.model(args.plans_name, configuration)


def _command(args: argparse.Namespace, configuration: str) -> str:
    """The command that makes the results of a fold; `{fold}` stands for its name."""
    plans = plans_flag(args.plans_name)
    if args.baseline:
        data = f"-d {args.dataset} -c {configuration}{plans}"
        return f"dd_baseline {data} --method {args.baseline} -f {{fold}}"
    return f"dd_train {args.dataset} {configuration} {{fold}}{plans}"
