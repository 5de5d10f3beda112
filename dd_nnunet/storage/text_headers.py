"""Text headers: "name: value" lines, then voxels behind them or in a file beside them."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage import header_checks
from dd_nnunet.storage.inflate import count_inflated

MAX_HEADER_BYTES = 1 << 20
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
Fields = dict[str, str]
Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class TextHeader:
    """A text header, and where the voxels are that it announces.

    Args:
        fields: by name; those of NRRD in lower case and without spaces.
        end: bytes up to and with the header's last line.
        data_file: the file that holds the voxels, maybe the header's own.
    """

    fields: Fields
    end: int
    data_file: Path

    def data_start(self, path: Path) -> int:
        """Where the voxels begin in the data file, before anything its fields say is skipped."""
        return self.end if self.data_file == path else 0


@dataclass(frozen=True)
class Stored:
    """How voxels lie in a data file.

    Args:
        skip: bytes before them.
        window: zlib's code for compressed data, None for plain.
        expected: bytes of them, unpacked.
        n_packed: bytes of them, packed, as the header says; 0 if it does not.
    """

    skip: int
    window: int | None
    expected: int
    n_packed: int = 0


def header_lines(path: Path) -> list[bytes]:
    """The lines of a file up to `MAX_HEADER_BYTES`, with their ends, the voxels behind the header among them."""
    with path.open("rb") as stream:
        head = stream.read(MAX_HEADER_BYTES)
    # other ends of lines are none to all readers
    *lines, rest = head.split(b"\n")
    return [line + b"\n" for line in lines] + ([rest] if rest else [])


def text_of(line: bytes) -> str:
    """A line without its end, as text."""
    return line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape")


def put_field(path: Path, fields: Fields, name: str, value: str) -> None:
    """Add a field.

    Raises:
        UserError: it is there already.
    """
    if name in fields:
        raise UserError(path, f"its header says {name} twice", "keep one of them")
    fields[name] = value


def data_file_beside(path: Path, name: str) -> Path:
    """The file beside a header that it names.

    Raises:
        UserError: it names several.
    """
    if name.upper().startswith("LIST") or "%" in name:
        raise UserError(path, "keeps its voxels in several files", "write it as one file")
    return path.parent / name


def numbers_of(
    path: Path, fields: Fields, name: str, kind: Callable[[str], Number], default: str = ""
) -> list[Number]:
    """The numbers of a field, at least one.

    Raises:
        UserError: it is missing without a default, or not all of it is numbers.
    """
    return parse_words(path, name, fields.get(name, default).split(), kind)


def whole_number(path: Path, fields: Fields, name: str, default: str) -> int:
    """The whole number that a field is.

    Raises:
        UserError: it is none, or several.
    """
    numbers = numbers_of(path, fields, name, int, default)
    if len(numbers) != 1:
        raise UserError(
            path, f"its header says {name}: {fields[name]!r}, 1 number is expected", header_checks.COPY_AGAIN
        )
    return numbers[0]


def parse_words(path: Path, name: str, words: Sequence[str], kind: Callable[[str], Number]) -> list[Number]:
    """The numbers that words are, at least one.

    Raises:
        UserError: there is none, or a word that is no number.
    """
    try:
        # Python takes 1_000 and digits of all scripts for numbers
        numbers = [kind(word) for word in words if word.isascii() and "_" not in word]
        numbers = numbers if len(numbers) == len(words) else []
    # OverflowError: a whole number of more digits than floats have
    except (ValueError, OverflowError):
        numbers = []
    if not numbers:
        raise UserError(path, f"its header says {name}: {' '.join(words)!r}", header_checks.COPY_AGAIN)
    return numbers


def check_axes(path: Path, sizes: Sequence[int]) -> None:
    """Raise unless there are three axes; further ones may be one voxel long."""
    if len(sizes) < 3:
        header_checks.refuse_2d(path)
    if math.prod(sizes[3:]) > 1:
        header_checks.refuse_4d(path, math.prod(sizes[3:]))


def check_data(path: Path, header: TextHeader, stored: Stored, whole: bool) -> None:
    """Count the voxels' bytes, packed ones only if `whole`."""
    if not _is_file(header.data_file):
        raise UserError(
            path, f"its data file {header.data_file.name} does not exist", "put it beside the header"
        )
    start = header.data_start(path) + stored.skip
    there, fault = max(0, header.data_file.stat().st_size - start), ""
    found = there
    if stored.window is not None and not whole:
        found = stored.expected
    elif stored.window is not None and there:
        with header.data_file.open("rb") as stream:
            stream.seek(start)
            found, fault = count_inflated(stream, stored.window)
    header_checks.check_found(path, stored.expected, found, fault)
    if stored.n_packed not in (0, there):
        reason = f"says CompressedDataSize {stored.n_packed}, but {there} bytes follow"
        raise UserError(path, reason, header_checks.COPY_AGAIN)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    # a name longer than any file's
    except OSError:
        return False
