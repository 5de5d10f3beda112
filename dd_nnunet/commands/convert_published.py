"""dd_convert_brats19, dd_convert_hsu and dd_convert_msd: make a raw dataset from a published one."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from dd_nnunet.commands import cli
from dd_nnunet.commands.convert import add_identity, dataset_from, shows_progress
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.units import counted

LOGGER = logging.getLogger(__name__)
# the keys of dataset_conversion.brats19.CHANNELS, which is imported only when the command runs
BRATS_CHANNELS = ("flair", "t1", "t1ce", "t2")


def build_brats19_parser() -> cli.StrictParser:
    """The flags of dd_convert_brats19."""
    parser = cli.make_parser(
        "dd_convert_brats19",
        "Make a raw dataset from the training data of BraTS 2019: high-grade cases, FLAIR, the middle 200 × 200 × 155"
        " voxels, split 180/39/40.",
    )
    _add_input(parser, "MICCAI_BraTS_2019_Data_Training, with HGG/BraTS19_…/BraTS19_…_flair.nii.gz")
    add_identity(parser, "BraTS19")
    parser.add_argument(
        "--channels",
        nargs="+",
        choices=BRATS_CHANNELS,
        default=["flair"],
        metavar="CHANNEL",
        help=f"in this order: {', '.join(BRATS_CHANNELS)}",
    )
    parser.add_argument("--low_grade", action="store_true", help="take the low-grade cases (LGG) too")
    return parser


def build_hsu_parser() -> cli.StrictParser:
    """The flags of dd_convert_hsu."""
    parser = cli.make_parser(
        "dd_convert_hsu",
        "Make a raw dataset from the synthetic cells of Hsu et al. 2021; their pickles are read without being run.",
    )
    _add_input(parser, "holds the folders train, val and test with im_0.p, truth_bg_0.p, …")
    add_identity(parser, "Hsu")
    return parser


def build_msd_parser() -> cli.StrictParser:
    """The flags of dd_convert_msd."""
    parser = cli.make_parser(
        "dd_convert_msd", "Make a raw dataset from a task of the Medical Segmentation Decathlon."
    )
    _add_input(parser, "the task, e.g. Task04_Hippocampus, with its dataset.json")
    add_identity(parser, "as the task")
    return parser


def main_brats19(argv: Sequence[str] | None = None) -> int:
    """Entry point of dd_convert_brats19."""
    return cli.run(build_brats19_parser(), _run_brats19, argv)


def main_hsu(argv: Sequence[str] | None = None) -> int:
    """Entry point of dd_convert_hsu."""
    return cli.run(build_hsu_parser(), _run_hsu, argv)


def main_msd(argv: Sequence[str] | None = None) -> int:
    """Entry point of dd_convert_msd."""
    return cli.run(build_msd_parser(), _run_msd, argv)


def _add_input(parser: argparse.ArgumentParser, meaning: str) -> None:
    parser.add_argument("-i", "--input", required=True, metavar="FOLDER", help=meaning)


def _say_cases(n_training: int, n_test: int) -> None:
    LOGGER.info("%d training and %s", n_training, counted(n_test, "test case"))


def _run_brats19(args: argparse.Namespace) -> None:
    from dataset_conversion.brats19 import Brats19Request, convert_brats19

    if len(set(args.channels)) < len(args.channels):
        raise UserError("--channels", f"{' '.join(args.channels)} names one twice", "give each once")
    request = Brats19Request(Path(args.input).expanduser(), tuple(args.channels), args.low_grade)
    with dataset_from(args, request.source, args.name or "BraTS19") as folder:
        _say_cases(*convert_brats19(request, folder, shows_progress(args)))


def _run_hsu(args: argparse.Namespace) -> None:
    from dataset_conversion.hsu import convert_hsu

    source = Path(args.input).expanduser()
    with dataset_from(args, source, args.name or "Hsu") as folder:
        _say_cases(*convert_hsu(source, folder, shows_progress(args)))


def _run_msd(args: argparse.Namespace) -> None:
    from dataset_conversion.msd import convert_msd, task_name

    source = Path(args.input).expanduser()
    with dataset_from(args, source, args.name or task_name(source)) as folder:
        _say_cases(*convert_msd(source, folder, shows_progress(args)))
