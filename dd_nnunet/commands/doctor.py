"""dd_doctor: what stands in the way on this machine, and what to do about it."""

import argparse
import platform
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dd_nnunet import __version__
from dd_nnunet.commands import cli
from dd_nnunet.core.errors import UserError

if TYPE_CHECKING:
    from dd_nnunet.commands.checks import Check

WIDTH = 80
NAME_WIDTH, STATE_WIDTH = 17, 9


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of dd_doctor."""
    parser = cli.make_parser(
        "dd_doctor",
        "Look over this machine: versions, folders, devices, processors, memory, shared memory, locks. "
        "Nothing is left behind. Exit code 2 when a problem stands in the way, else 0, also with warnings.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    return cli.run(parser, _run, argv)


def _run(args: argparse.Namespace) -> None:
    from dd_nnunet.commands.checks import examine
    from dd_nnunet.core.json_record import dump_json, record_to_json

    checks = examine(cli.workspace(args))
    if args.json:
        print(dump_json({"version": __version__, "checks": record_to_json(checks)}), end="")
    else:
        print(f"dd_nnunet {__version__} on {platform.node()}, {platform.platform(terse=True)}\n")
        print(format_checks(checks))
    problems = [check.name for check in checks if check.state == "problem"]
    if problems:
        raise UserError(", ".join(problems), "stands in the way", "do what is said of it above")


def format_checks(checks: "Sequence[Check]") -> str:
    """A table of 80 columns: name, state, what was found, and below it the remedy behind an arrow."""
    lines = []
    for check in checks:
        found = _wrapped(check.found, "")
        found += _wrapped(check.remedy, "→ ") if check.remedy else []
        heads = [f"{check.name:{NAME_WIDTH}}{check.state:{STATE_WIDTH}}"] + [""] * (len(found) - 1)
        lines += [f"{head:{NAME_WIDTH + STATE_WIDTH}}{text}" for head, text in zip(heads, found, strict=True)]
    return "\n".join(lines)


def _wrapped(text: str, mark: str) -> list[str]:
    width = WIDTH - NAME_WIDTH - STATE_WIDTH
    return textwrap.wrap(text, width, initial_indent=mark, subsequent_indent=" " * len(mark)) or [""]
