"""The flags of dd_plan_and_preprocess and its steps."""

import argparse
import re

from dd_nnunet.commands import cli

# the keys of planning.presets.PRESETS, which is imported only when a command runs
PRESET_NAMES = ("standard", "fast", "paper")
DEFAULT_PRESET = "standard"
DEFAULT_PROCESSES = 8
PLAIN_NAME = re.compile(r"[\w-]{1,100}")


def make_parser(prog: str, description: str) -> cli.StrictParser:
    """A parser that takes datasets."""
    parser = cli.make_parser(prog, description)
    parser.add_argument("-d", nargs="+", required=True, metavar="ID", help="datasets, by number or name")
    parser.add_argument("--wait", action="store_true", help="wait while another process prepares the dataset")
    return parser


def add_processes(parser: cli.StrictParser) -> None:
    """Flags of every step that works in processes."""
    parser.add_argument(
        "-np",
        type=_from_0,
        default=DEFAULT_PROCESSES,
        metavar="N",
        help="processes at most; fewer if processors or memory are fewer; 0 = within this one",
    )
    parser.add_argument(
        "--max_ram", type=_positive, metavar="GB", help="memory for all processes; default: what is free"
    )


def add_reading(parser: cli.StrictParser) -> None:
    """Flags of the fingerprint."""
    add_processes(parser)
    parser.add_argument(
        "--no_verify",
        action="store_true",
        help="trust a fingerprint of the same cases instead of reading them again",
    )


def add_planning(parser: cli.StrictParser) -> None:
    """Flags of the plan."""
    parser.add_argument("-pl", choices=("default", "paper"), default="default", help="planner")
    parser.add_argument("--preset", choices=PRESET_NAMES, help=f"effort; default: {DEFAULT_PRESET}")
    parser.add_argument("--parts", type=int, nargs="+", metavar="K", help="number of parts of levels 1, 2, …")
    parser.add_argument(
        "-gpu_memory_target", type=_positive, default=8.0, metavar="GB", help="memory of a training step"
    )
    parser.add_argument(
        "-overwrite_target_spacing",
        type=_positive,
        nargs=3,
        metavar=("Z", "Y", "X"),
        help="in mm, per array axis",
    )
    parser.add_argument(
        "-overwrite_plans_name", type=plain_name, default="ddPlans", metavar="NAME", help="name of the plan"
    )


def add_preparing(parser: cli.StrictParser) -> None:
    """Flags of the preparation."""
    parser.add_argument(
        "-c", nargs="+", metavar="NAME", help="configurations to prepare; default: all planned"
    )
    parser.add_argument(
        "--clean", action="store_true", help="remove what was prepared before, prepare all anew"
    )


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _from_0(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def plain_name(text: str) -> str:
    """A name that can be part of a file's name."""
    if not PLAIN_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no plain name (letters, digits, '_', '-')")
    return text
