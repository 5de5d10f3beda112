"""dd_evaluate_folder: Dice, HD95 and the two protocols for predicted label maps."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dd_nnunet.commands import cli
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.units import counted

if TYPE_CHECKING:
    from dd_nnunet.core.dataset import DatasetDescription

LOGGER = logging.getLogger(__name__)
RAW_FOLDERS = ("labelsTr", "labelsTs", "imagesTr", "imagesTs")


def build_parser() -> cli.StrictParser:
    """The flags of dd_evaluate_folder."""
    parser = cli.make_parser(
        "dd_evaluate_folder",
        "Score predicted label maps against true ones; summary.json is written beside the predictions.",
    )
    parser.add_argument(
        "predictions",
        metavar="PREDICTIONS",
        nargs="+",
        help="folders with level1/ level2/ …, or of one level (then -l N); several share one table",
    )
    parser.add_argument("truth", metavar="TRUTH", help="folder with the true labels, e.g. labelsTs")
    parser.add_argument("-djfile", metavar="FILE", help="dataset.json; default: beside TRUTH, or of -d")
    parser.add_argument("-d", "--dataset", metavar="ID", help="dataset whose dataset.json is used")
    parser.add_argument(
        "-l", "--level", type=int, nargs="+", metavar="N", help="levels; default: all that are found"
    )
    parser.add_argument(
        "--parts",
        type=int,
        nargs="+",
        metavar="K",
        help="parts of these levels; default: the highest found + 1",
    )
    parser.add_argument(
        "--protocol", nargs="+", choices=("hsu", "strict"), default=["hsu", "strict"], help="columns to print"
    )
    parser.add_argument(
        "--chill", action="store_true", help="leave out missing predictions instead of scoring them 0"
    )
    parser.add_argument(
        "--resample",
        action="store_true",
        help="carry predictions on another grid to the truth's by the nearest voxel instead of refusing them",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of dd_evaluate_folder."""
    return cli.run(build_parser(), _run, argv)


def _run(args: argparse.Namespace) -> None:
    from dd_nnunet.evaluation.folder import EvaluationRules, case_ids_in, evaluate_levels, write_summary
    from dd_nnunet.evaluation.summary import POLICY
    from dd_nnunet.evaluation.table import score_row, score_table
    from dd_nnunet.storage.atomic import check_output_folder

    truth = Path(args.truth).expanduser()
    # one that is missing is told when it is known whether the dataset has labels at all
    if truth.exists():
        cli.input_folder(args.truth, "true label maps")
    folders_given = [cli.input_folder(p, "predicted label maps") for p in args.predictions]
    for predictions in folders_given:
        if predictions.resolve().name in RAW_FOLDERS:
            remedy = "the order is PREDICTIONS TRUTH; nothing is written into raw folders"
            raise UserError(predictions, "is a folder of a raw dataset", remedy)
    description = _description(args, truth)
    rows = []
    for predictions in folders_given:
        folders = _level_folders(predictions, args.level, len(description.levels))
        found = (case_ids_in(folder, description.file_ending) for folder in folders.values())
        case_ids = {case for cases in found for case in cases}
        rules = EvaluationRules(sorted(case_ids) if args.chill else None, args.resample)
        n_parts = _parts(args.parts, sorted(folders))
        for folder in folders.values():
            check_output_folder(folder)
        summaries = evaluate_levels(folders, truth, description, n_parts, rules)
        for level, summary in summaries.items():
            write_summary(folders[level], summary)
        rows += [score_row(predictions.resolve().name, summary) for summary in summaries.values()]
    print(score_table(rows, protocols=args.protocol))
    first = next(iter(summaries.values()))
    print(
        f"{counted(first['n_cases'], 'case')}, {counted(first['n_missing'], 'prediction')} missing; {POLICY}."
    )


def _description(args: argparse.Namespace, truth: Path) -> "DatasetDescription":
    from dd_nnunet.storage.raw_dataset import load_description

    if args.djfile:
        return load_description(Path(args.djfile))
    if args.dataset:
        return load_description(cli.workspace(args).dataset(args.dataset))
    beside = truth.resolve().parent / "dataset.json"
    if not beside.is_file():
        raise UserError(beside, "does not exist", "name the dataset with -d ID or -djfile dataset.json")
    return load_description(beside)


def _level_folders(predictions: Path, wanted: Sequence[int] | None, n_levels: int) -> dict[int, Path]:
    """The folder of each level: level{l}/, level{l}/validation/ of a trained fold, or the folder itself."""
    found = {
        int(folder.name.removeprefix("level")): folder / "validation"
        if (folder / "validation").is_dir()
        else folder
        for folder in predictions.glob("level*")
        if folder.name.removeprefix("level").isdecimal()
    }
    if found:
        absent = sorted(set(wanted or ()) - set(found))
        if absent:
            raise UserError(predictions, f"has no level{absent[0]}", f"levels there: {sorted(found)}")
        return {level: found[level] for level in sorted(wanted or found)}
    if wanted is None and n_levels > 1:
        raise UserError(predictions, f"is of one level, of {n_levels}", "say which with -l N")
    if wanted is not None and len(wanted) > 1:
        raise UserError(predictions, "has no folders level1, level2, …", "give one level with -l N")
    return {wanted[0] if wanted else 1: predictions}


def _parts(parts: Sequence[int] | None, levels: Sequence[int]) -> dict[int, int]:
    if parts is None:
        return {}
    if len(parts) != len(levels) or min(parts) < 2:
        raise UserError(
            "--parts", f"is {list(parts)}", f"give a number from 2 for each of the levels {list(levels)}"
        )
    return dict(zip(levels, parts, strict=True))
