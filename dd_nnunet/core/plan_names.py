"""What plans are called, and the flags and commands that mean them; without numpy, so that commands start at once."""

import re
from typing import Literal

DEFAULT_PLANS = "ddPlans"
DEFAULT_PRESET: Literal["standard"] = "standard"
PresetName = Literal["fast", "standard", "paper"]
PLAIN_NAME = re.compile(r"[\w-]{1,100}")
# other JSON files of a prepared dataset, beside which NAME.json is written
TAKEN_NAMES = ("dataset", "dataset_fingerprint", "manifest", "splits_final")


def check_plain_name(name: str) -> None:
    """Refuse names that lead elsewhere, where they become part of a path.

    Raises:
        ValueError: says what is allowed.
    """
    if not PLAIN_NAME.fullmatch(name):
        raise ValueError(f"{name[:100]!r} is no plain name (letters, digits, '_', '-'; at most 100)")


def check_plans_name(name: str) -> None:
    """Refuse names of plans that lead elsewhere, or to a file that is no plan.

    Raises:
        ValueError: says what is allowed.
    """
    check_plain_name(name)
    if name.casefold() in TAKEN_NAMES:
        raise ValueError(f"{name!r} is the name of a file of the dataset itself; choose another")


def plans_flag(plans_name: str, flag: str = "-p") -> str:
    """What a command needs to mean the plan of that name: " -p NAME", nothing where it is the default."""
    return "" if plans_name == DEFAULT_PLANS else f" {flag} {plans_name}"
