"""What every command shares: strict parsing, workspace flags, logging, and exit codes."""

import argparse
import difflib
import errno
import io
import logging
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from dd_nnunet import __version__
from dd_nnunet.core.errors import DDError, UserError
from dd_nnunet.core.plan_names import DEFAULT_PLANS, plans_flag
from dd_nnunet.storage.workspace import DatasetFolders, Workspace

if TYPE_CHECKING:
    from dd_nnunet.core.plan import LevelPlan, Plan

FULL_RESOLUTION = "3d_fullres"
DEVICES = ("auto", "cpu", "cuda", "mps")
Body = Callable[[argparse.Namespace], int | None]
EXIT_CODES = (
    "exit codes: 0 ok, 2 user or data error, 3 some cases failed, 74 disk, 75 stopped (resumable), 1 our bug"
)


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults where there are any."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False or action.default == ():
            return action.help
        return super()._get_help_string(action)


class StrictParser(argparse.ArgumentParser):
    """argparse without abbreviations, whose unknown flags are errors with a suggestion."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=EXIT_CODES,
            allow_abbrev=False,
            formatter_class=_HelpFormatter,
        )

    def parse_args(self, args: Sequence[str] | None = None, namespace: None = None) -> argparse.Namespace:  # type: ignore[override]
        """Parse, and refuse what is not known."""
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            flags = [flag for action in self._actions for flag in action.option_strings]
            close = difflib.get_close_matches(unknown[0].split("=")[0], flags, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]}?" if close else f"see {self.prog} -h"
            self.error(f"unknown argument {unknown[0]!r}; {hint}")
        return known

    def has_flag(self, flag: str) -> bool:
        """Whether the command has this flag."""
        return any(flag in action.option_strings for action in self._actions)

    def error(self, message: str) -> NoReturn:
        """One line on stderr, exit code 2."""
        self.exit(2, f"{self.prog}: error: {message}\n")


def make_parser(prog: str, description: str) -> StrictParser:
    """A parser with the flags that all commands have."""
    parser = StrictParser(prog, description)
    shared = parser.add_argument_group("shared flags")
    shared.add_argument("--raw", metavar="DIR", help="raw datasets, instead of dd_raw or nnUNet_raw")
    shared.add_argument("--preprocessed", metavar="DIR", help="prepared datasets, instead of dd_preprocessed")
    shared.add_argument("--results", metavar="DIR", help="trained models, instead of dd_results")
    shared.add_argument("-v", "--verbose", action="store_true", help="say more")
    shared.add_argument("-q", "--quiet", action="store_true", help="say only warnings and errors")
    shared.add_argument("--no_pbar", action="store_true", help="no progress bars")
    parser.add_argument("--version", action="version", version=f"dd_nnunet {__version__}")
    return parser


def read_plan(folders: DatasetFolders, plans_name: str, dataset: str, flag: str = "-p") -> "Plan":
    """The plan of that name of a dataset.

    Args:
        folders: of the dataset.
        plans_name: that the plan is asked for by.
        dataset: as the user calls it.
        flag: that names a plan.

    Raises:
        UserError: there is none of that name (names those there are), it is of another name or dataset than its place
            tells, or a value in it is not allowed.
    """
    from dd_nnunet.core.plan import Plan
    from dd_nnunet.storage.atomic import read_record

    path = folders.plans_json(plans_name)
    if not path.is_file():
        raise _no_plan(folders, plans_name, dataset, flag)
    plan = read_record(Plan, path)
    for key, found, expected in (
        ("plans_name", plan.plans_name, plans_name),
        ("dataset_name", plan.dataset_name, folders.name),
    ):
        if found != expected:
            remedy = f"if this plan is meant, write {expected!r} there; else plan with dd_plan_experiment"
            raise UserError(path, f"$.{key} is {found[:100]!r}, where {expected!r} is expected", remedy)
    return plan


def _no_plan(folders: DatasetFolders, plans_name: str, dataset: str, flag: str) -> UserError:
    from dd_nnunet.core.plan_names import PLAIN_NAME, TAKEN_NAMES

    path = folders.plans_json(plans_name)
    names = [other.stem for other in sorted(folders.preprocessed.glob("*.json"))]
    known = [name for name in names if PLAIN_NAME.fullmatch(name) and name not in TAKEN_NAMES]
    if known:
        return UserError(path, "does not exist", f"choose one with {flag}: {', '.join(known)}")
    name = plans_flag(plans_name, "-overwrite_plans_name")
    return UserError(path, "does not exist", f"run: dd_plan_and_preprocess -d {dataset}{name}")


def no_model_remedy(args: argparse.Namespace, configuration: str) -> str:
    """What to do where a configuration is not trained, for commands with -d, -c and -p."""
    command = f"dd_train {args.dataset} {configuration} 0{plans_flag(args.plans_name)}"
    return f"run: {command}, or correct -d, -c, -p"


def add_plan_flags(parser: StrictParser, configuration: str = "default: all that are planned") -> None:
    """The flags of commands that take what a plan says."""
    parser.add_argument("-c", "--configuration", metavar="NAME", help=f"configuration; {configuration}")
    parser.add_argument("-p", "--plans_name", default=DEFAULT_PLANS, metavar="NAME", help="name of the plan")


def levels_by_configuration(
    plan: "Plan", configuration: str | None, wanted: Sequence[int] | None
) -> "dict[str, tuple[LevelPlan, ...]]":
    """The levels to work on, by the configuration that they belong to; configurations without any are left out.

    Args:
        plan: of the dataset.
        configuration: only this one; None = all that are planned.
        wanted: numbers of levels; None or empty = all.

    Raises:
        UserError: a configuration or level that is not planned.
    """
    names = (configuration,) if configuration else tuple(plan.configurations)
    planned = {name: plan.configuration(name).levels for name in names}
    if not wanted:
        return planned
    known = {level.level for levels in planned.values() for level in levels}
    for number in wanted:
        if number not in known:
            shown = ", ".join(map(str, sorted(known)))
            raise UserError(f"level {number}", "is not in the plan", f"planned levels: {shown}")
    chosen = {name: tuple(n for n in levels if n.level in wanted) for name, levels in planned.items()}
    return {name: levels for name, levels in chosen.items() if levels}


def from_0(text: str) -> int:
    """A whole number that is not negative; for argparse."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; give a whole number from 0")
    return number


def add_device_flag(parser: StrictParser) -> None:
    """The flag of commands that run a network."""
    parser.add_argument(
        "-device", choices=DEVICES, default="auto", help="auto takes cuda, then mps, then cpu"
    )


def input_folder(text: str, contents: str, flag: str = "") -> Path:
    """The folder that was given to read from.

    Args:
        text: the path, `~` allowed.
        contents: what the folder is to hold; for errors.
        flag: that it was given with, if any; for errors.

    Raises:
        UserError: there is none, or it is a file (names the folder of the file).
    """
    path = Path(text).expanduser()
    if path.is_dir():
        return path
    wanted = f"a folder of {contents} is wanted"
    if path.exists():
        folder = f"{flag} {path.absolute().parent}".lstrip()
        raise UserError(path, f"is a file, {wanted}", f"give its folder: {folder}")
    raise UserError(path, "does not exist", wanted)


def workspace(args: argparse.Namespace) -> Workspace:
    """The three folders, from flags first and the environment second."""
    return Workspace.from_environment(raw=args.raw, preprocessed=args.preprocessed, results=args.results)


def run(parser: StrictParser, body: Body, argv: Sequence[str] | None = None) -> int:
    """Parse, run the body, and turn what happens into an exit code.

    Returns:
        The exit code: the body's own, or that of the `DDError` it raised; 75 on Ctrl-C or SIGTERM, 74 on a full disk.
    """
    # a console of another encoding shows letters it has not as escapes, as it does on stderr
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    args = parser.parse_args(argv)
    _configure_logging(args)
    _stop_cleanly_on(signal.SIGTERM)
    try:
        return body(args) or 0
    except DDError as error:
        for line in error.lines:
            _say(parser, line)
        return error.exit_code
    except KeyboardInterrupt:
        flag = " with --continue_prediction" if parser.has_flag("--continue_prediction") else ""
        _say(parser, f"stopped; the same command continues{flag}")
        return 75
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _say(
                parser, f"{error.filename or 'disk'}: no space left; free some and run the same command again"
            )
            return 74
        raise


def _stop_cleanly_on(number: signal.Signals) -> None:
    """Treat a signal (a scheduler's, say) as Ctrl-C; only the main thread may ask for that."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(number, signal.default_int_handler)


def _say(parser: StrictParser, line: str) -> None:
    one_line = " ".join(line.split())
    # names in files come from anywhere and may hold the codes that steer a terminal
    one_line = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in one_line)
    sys.stderr.write(f"{parser.prog}: error: {one_line}\n")


def _configure_logging(args: argparse.Namespace) -> None:
    level = logging.WARNING if args.quiet else logging.DEBUG if args.verbose else logging.INFO
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    # a run's logger lets more through, for its text log
    handler.setLevel(level)
    root = logging.getLogger("dd_nnunet")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False
