"""dd_report: one self-contained HTML page about a trained model."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dd_nnunet.commands import cli
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.plan_names import plans_flag

if TYPE_CHECKING:
    from dd_nnunet.storage.workspace import DatasetFolders

LOG = logging.getLogger(__name__)


def build_parser() -> cli.StrictParser:
    """The flags of dd_report."""
    parser = cli.make_parser(
        "dd_report", "Write one HTML page: pictures, part sizes, scores, curves, decisions."
    )
    parser.add_argument("-d", "--dataset", required=True, metavar="ID", help="number or name of the dataset")
    cli.add_plan_flags(parser)
    parser.add_argument("-f", "--fold", default="0", metavar="FOLD", help="0, 1, … or all")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="the page [default: report_fold_FOLD.html beside the model]"
    )
    parser.add_argument(
        "--predictions", metavar="DIR", help="show these (level1/ … inside) instead of the held-out cases"
    )
    parser.add_argument("--images", metavar="DIR", help="raw images of those cases, instead of imagesTr")
    parser.add_argument("--truth", metavar="DIR", help="true labels of those cases, instead of labelsTr")
    parser.add_argument("--cases", type=int, default=3, metavar="N", help="cases shown as pictures")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of dd_report."""
    return cli.run(build_parser(), _run, argv)


def _run(args: argparse.Namespace) -> None:
    from dd_nnunet.report.collect import find_plan

    if args.cases < 0:
        raise UserError("--cases", f"is {args.cases}", "give 0 or more")
    folders = cli.workspace(args).dataset(args.dataset)
    plan = find_plan(folders, args.plans_name, args.configuration)
    names = tuple(cli.levels_by_configuration(plan, args.configuration, None))
    if args.output and len(names) > 1:
        raise UserError("-o", f"is one page, but there are {' and '.join(names)}", "name one of them with -c")
    for name in _trained(args, folders, names):
        _write(args, folders, name)


def _trained(args: argparse.Namespace, folders: "DatasetFolders", names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the configurations in which the fold is trained; the others are warned of, or refused if all are."""
    from dd_nnunet.report.collect import trained_folds

    trained = {name: trained_folds(folders.model(args.plans_name, name)) for name in names}
    chosen = tuple(name for name in names if args.fold in trained[name])
    missing = [name for name in names if name not in chosen]
    if chosen and missing:
        LOG.warning("warning: fold %s is not trained, so there is no page: %s", args.fold, ", ".join(missing))
    if not chosen:
        begun = next((name for name in names if trained[name]), None)
        if begun:
            remedy = f"choose one of the trained folds with -f: {', '.join(trained[begun])}"
        else:
            named = plans_flag(args.plans_name)
            remedy = f"run: dd_train {args.dataset} {names[0]} {args.fold}{named}"
        raise UserError(f"fold {args.fold} of {begun or names[0]}", "is not trained", remedy)
    return chosen


def _write(args: argparse.Namespace, folders: "DatasetFolders", configuration: str) -> None:
    from dd_nnunet.report.collect import ReportRequest
    from dd_nnunet.report.page import write_report
    from dd_nnunet.storage.atomic import check_output_folder

    request = ReportRequest(
        folders=folders,
        plans_name=args.plans_name,
        configuration=configuration,
        fold=args.fold,
        predictions=_folder(args.predictions, "predicted label maps", "--predictions"),
        images=_folder(args.images, "raw images", "--images"),
        truth=_folder(args.truth, "true label maps", "--truth"),
        n_cases=args.cases,
    )
    beside_model = folders.model(args.plans_name, configuration) / f"report_fold_{args.fold}.html"
    output = _path(args.output) or beside_model
    check_output_folder(output.parent)
    page = write_report(request, output)
    for warning in page.warnings:
        LOG.warning("warning: %s", warning)
    LOG.info("report written to %s (open it in any browser)", output)


def _folder(text: str | None, contents: str, flag: str) -> Path | None:
    return None if text is None else cli.input_folder(text, contents, flag)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text).expanduser()
