"""Errors that reach the user: one line naming the place, the reason and the remedy, and an exit code."""

from collections.abc import Sequence
from typing import Any

MOST_CHARACTERS = 1000


class DDError(Exception):
    """An expected failure that the command line turns into one line on stderr and an exit code.

    Args:
        where: the file, case, flag or record the error is about.
        reason: what is wrong, with the value found and the allowed range.
        remedy: what to do next, ideally a command.
    """

    exit_code = 1

    def __init__(self, where: object, reason: str, remedy: str = "") -> None:
        self.where = str(where)
        self.reason = reason
        self.remedy = remedy
        super().__init__(self.line)

    def __reduce__(self) -> tuple[Any, ...]:
        # exceptions are copied between processes by their arguments
        return type(self), (self.where, self.reason, self.remedy)

    @property
    def line(self) -> str:
        """The one line shown to the user, whatever the texts in it came from."""
        text = f"{self.where}: {_shortened(self.reason)}"
        return _printable(f"{text}; {self.remedy}" if self.remedy else text)

    @property
    def lines(self) -> tuple[str, ...]:
        """All lines shown to the user (more than one only for `ManyErrors`)."""
        return (self.line,)


class UserError(DDError):
    """Bad input, flag or data."""

    exit_code = 2


class ManyErrors(UserError):
    """Several user errors found in one pass, shown one line each."""

    def __init__(self, errors: Sequence[DDError]) -> None:
        self.errors = tuple(errors)
        first = self.errors[0]
        super().__init__(first.where, first.reason, first.remedy)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.errors,)

    @property
    def lines(self) -> tuple[str, ...]:
        """One line per error, in the order found."""
        return tuple(line for error in self.errors for line in error.lines)


def joined(errors: Sequence[DDError]) -> DDError:
    """The one error there is, or all of them as one; at least one."""
    return errors[0] if len(errors) == 1 else ManyErrors(errors)


class SomeCasesFailedError(DDError):
    """Some cases failed while the others were finished."""

    exit_code = 3


class DiskError(DDError):
    """A write failed because the disk is full or gone; the old state is kept."""

    exit_code = 74


class StoppedError(DDError):
    """The run was asked to stop and can be resumed by the same command."""

    exit_code = 75


def _shortened(text: str) -> str:
    """With a long value cut in its middle."""
    half = MOST_CHARACTERS // 2
    return text if len(text) <= MOST_CHARACTERS else f"{text[:half]} … {text[-half:]}"


def _printable(text: str) -> str:
    """In one line; what is no letter (codes that steer a terminal, halves of characters) as its escape."""
    one_line = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in one_line)
