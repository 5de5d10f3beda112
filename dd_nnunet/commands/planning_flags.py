"""The flags of dd_plan_and_preprocess and its steps, and what follows from them at once."""

import argparse
import logging
from typing import TYPE_CHECKING

from dd_nnunet.commands import cli
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.plan_names import DEFAULT_PLANS, DEFAULT_PRESET, plans_flag
from dd_nnunet.core.units import GB

if TYPE_CHECKING:
    from dd_nnunet.core.plan import ReadingPlan
    from dd_nnunet.preprocessing.parallel import Workers
    from dd_nnunet.storage.workspace import DatasetFolders

LOGGER = logging.getLogger(__name__)

# the keys of planning.presets.PRESETS, which is imported only when a command runs
PRESET_NAMES = ("standard", "fast", "paper")
# the keys of planning.presets.DEPARTURES
DEPARTURE_NAMES = ("resize64", "sampling_grids", "no_squares", "small_segmenter")
DEFAULT_PROCESSES = 8


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
        type=cli.from_0,
        default=DEFAULT_PROCESSES,
        metavar="N",
        help="processes at most; fewer if processors or memory are fewer; 0 = within this one",
    )
    parser.add_argument(
        "--max_ram", type=_positive, metavar="GB", help="memory for all processes; default: what is free"
    )


def add_reading(parser: cli.StrictParser) -> None:
    """Flags of every step that reads raw volumes as it is told here, not as a plan says."""
    add_processes(parser)
    parser.add_argument(
        "--nan",
        choices=("zero", "median"),
        help="allow NaN and infinite voxels: they become 0 or the median of the channel's others; "
        "kept in the plan; default: they are an error",
    )
    parser.add_argument(
        "--allow_geometry_mismatch",
        action="store_true",
        help="allow channels that lie over a hundredth of a voxel apart by origin or direction; "
        "kept in the plan",
    )


def add_trust(parser: cli.StrictParser) -> None:
    """The flag of steps that may do without reading."""
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
        "--stages",
        type=int,
        nargs="+",
        metavar="S",
        help="decoder stage that feeds levels 1, 2, …; 1 = coarsest",
    )
    parser.add_argument(
        "--as_released",
        nargs="+",
        default=(),
        choices=DEPARTURE_NAMES,
        metavar="NAME",
        help="with -pl paper: do as the paper's released code, not as the paper (for ablation); "
        f"any of {', '.join(DEPARTURE_NAMES)}",
    )
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
        "-overwrite_plans_name",
        type=plans_name,
        default=DEFAULT_PLANS,
        metavar="NAME",
        help="name of the plan",
    )


def add_preparing(parser: cli.StrictParser) -> None:
    """Flags of the preparation."""
    parser.add_argument(
        "-c", nargs="+", metavar="NAME", help="configurations to prepare; default: all planned"
    )


def add_clean(parser: cli.StrictParser, what: str) -> None:
    """The flag of steps that keep what was done before."""
    parser.add_argument("--clean", action="store_true", help=what)


def datasets(args: argparse.Namespace) -> "list[DatasetFolders]":
    """All datasets asked for; an unknown one ends the command before any work."""
    workspace = cli.workspace(args)
    return [workspace.dataset(name) for name in dict.fromkeys(args.d)]


def reading(args: argparse.Namespace) -> "ReadingPlan":
    """What raw volumes are allowed."""
    from dd_nnunet.core.plan import ReadingPlan

    return ReadingPlan(args.nan or "refuse", args.allow_geometry_mismatch)


def workers(args: argparse.Namespace, bytes_per_case: float) -> "Workers":
    """As many processes as flags, processors and memory allow.

    Raises:
        UserError: --max_ram is too little for the largest case.
    """
    from dd_nnunet.preprocessing.parallel import Workers, choose_n_processes, startable
    from dd_nnunet.storage.hardware import available_ram_bytes, cpu_count

    ram = available_ram_bytes() if args.max_ram is None else args.max_ram * GB
    if args.max_ram is not None and bytes_per_case > ram:
        raise UserError(
            "--max_ram",
            f"{args.max_ram:g} GB is too little: the largest case needs about {bytes_per_case / GB:.2f} GB",
            "give more, or a machine with more memory",
        )
    n_processes = startable(choose_n_processes(args.np, cpu_count(), ram, bytes_per_case))
    return Workers(n_processes, bytes_per_case, show_progress=not args.no_pbar and not args.quiet)


def preparing(dataset: str, configuration: str, plans_name: str) -> str:
    """The command that prepares the cases of a configuration."""
    return f"dd_preprocess -d {dataset} -c {configuration}{plans_flag(plans_name, '-plans_name')}"


def heading(name: str) -> None:
    """The name of a dataset above what is said of it."""
    LOGGER.info("%s\n%s", name, "-" * len(name))


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def plans_name(text: str) -> str:
    """A name that a plan can have."""
    from dd_nnunet.core.plan_names import check_plans_name

    try:
        check_plans_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text
