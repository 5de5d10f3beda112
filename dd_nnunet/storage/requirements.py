"""The packages that dd_nnunet asks for, beside those that are installed."""

import importlib.metadata
import operator
import platform
import re
from dataclasses import dataclass

OPERATORS = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
REQUIREMENT = re.compile(r"([\w.-]+)\s*\(?([^;)]*)")
BOUND = re.compile(r"(>=|<=|==|!=|>|<)\s*([\w.]+)")
N_NUMBERS = 4


@dataclass(frozen=True)
class Requirement:
    """A package, the versions asked for (">=0.2.5,<0.3") and the installed one, None where it is missing."""

    package: str
    wanted: str
    found: str | None

    @property
    def met(self) -> bool:
        """Whether the installed version is within all bounds."""
        if self.found is None:
            return False
        found = _numbers(self.found)
        return all(OPERATORS[name](found, _numbers(bound)) for name, bound in BOUND.findall(self.wanted))


def requirements(distribution: str = "dd_nnunet") -> tuple[Requirement, ...]:
    """Python and the packages of setup.py, without the extras; empty where dd_nnunet runs without installation."""
    try:
        metadata = importlib.metadata.metadata(distribution)
        lines = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return ()
    python = Requirement("python", str(metadata["Requires-Python"] or ""), platform.python_version())
    return (python, *(_read(line) for line in lines if "extra ==" not in line))


def _read(line: str) -> Requirement:
    match = REQUIREMENT.match(line)
    assert match is not None, line
    package, wanted = match[1], match[2].strip()
    try:
        return Requirement(package, wanted, importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return Requirement(package, wanted, None)


def _numbers(version: str) -> tuple[int, ...]:
    """2.13.0+cpu -> (2, 13, 0, 0)."""
    numbers = [int(number) for number in re.findall(r"\d+", version.partition("+")[0])][:N_NUMBERS]
    return (*numbers, *[0] * (N_NUMBERS - len(numbers)))
