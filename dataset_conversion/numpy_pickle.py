"""Reads a pickle that holds one plain numpy array, without unpickling: nothing that the file names is ever run.

A pickle is a program. `pickletools` takes it apart into opcodes and executes none; the few that numpy's arrays of
numbers need are then acted out here, on values of our own. The names of classes and functions in the file are
compared with a short list and looked up nowhere.
"""

import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dd_nnunet.core.errors import UserError

LARGEST_FILE_BYTES = 1 << 28
# an array takes about fifty
MOST_OPCODES = 1000
MOST_AXES = 8
LONGEST_AXIS = 1 << 31
RECONSTRUCT = "_reconstruct"
GLOBALS = {
    ("numpy.core.multiarray", "_reconstruct"): RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): RECONSTRUCT,
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    # bytes, as Python 3 writes them into protocols 0 to 2
    ("_codecs", "encode"): "encode",
    ("__builtin__", "bytes"): "bytes",
    ("builtins", "bytes"): "bytes",
}
NUMBERS = re.compile(r"b1|[iu][1248]|f[248]")
LITERALS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip
CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
REMEMBER = {"PUT", "BINPUT", "LONG_BINPUT"}
RECALL = {"GET", "BINGET", "LONG_BINGET"}
REMEDY = "only pickles of one plain numpy array of numbers are read; check where the file comes from"


class _RefusedError(Exception):
    """Why a pickle is not read."""


@dataclass(frozen=True)
class _Global:
    """A name in the file that stands in `GLOBALS`."""

    meaning: str


@dataclass
class _Dtype:
    """The type of an array's numbers, in numpy's letters; its byte order comes later."""

    letters: str
    order: str | None = None


@dataclass
class _Array:
    """An array; its contents come later."""

    values: npt.NDArray[Any] | None = None


@dataclass
class _Machine:
    """What an unpickler has while it runs: a stack with marks, and a memory of values by number."""

    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def pop(self) -> Any:
        """Take the uppermost value of the stack."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise _RefusedError("takes a value that is not there")
        return self.stack.pop()

    def pop_many(self, number: int) -> tuple[Any, ...]:
        """Take that many values, in the order they were put there."""
        return tuple([self.pop() for _ in range(number)][::-1])


def read_array(path: Path) -> npt.NDArray[Any]:
    """Read a pickle (protocols 0 to 4) of one numpy array of booleans, whole or floating-point numbers.

    Returns:
        The array, of any shape, in the machine's byte order.

    Raises:
        UserError: missing, over 256 MiB, cut off, or holding anything else than such an array.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(path, "does not exist", "check the path")
    if path.stat().st_size > LARGEST_FILE_BYTES:
        raise UserError(path, f"is larger than {LARGEST_FILE_BYTES >> 20} MiB", REMEDY)
    try:
        return parse_array(path.read_bytes())
    except _RefusedError as error:
        raise UserError(path, str(error), REMEDY) from None
    # what pickletools raises where bytes are missing or are no opcode; the latter has them in its text
    except (ValueError, OverflowError):
        raise UserError(path, "is no pickle, or is cut off", REMEDY) from None


def parse_array(data: bytes) -> npt.NDArray[Any]:
    """The array that a pickle's bytes hold; see `read_array`."""
    machine, end = _Machine(), None
    for number, (opcode, argument, position) in enumerate(pickletools.genops(data)):
        if number >= MOST_OPCODES:
            raise _RefusedError(f"has over {MOST_OPCODES} opcodes")
        _act(machine, opcode.name, argument)
        end = position
    if end != len(data) - 1:
        raise _RefusedError("goes on behind its end")
    (array,) = machine.stack if len(machine.stack) == 1 and not machine.marks else (None,)
    if not isinstance(array, _Array) or array.values is None:
        raise _RefusedError("holds something else than one array")
    return array.values


def _act(machine: _Machine, name: str, argument: Any) -> None:
    """Act out one opcode."""
    if name in LITERALS:
        machine.stack.append(argument)
    elif name in CONSTANTS:
        machine.stack.append(CONSTANTS[name])
    elif name in TUPLES:
        machine.stack.append(machine.pop_many(TUPLES[name]))
    elif name in REMEMBER:
        _remember(machine, argument)
    elif name in RECALL:
        if argument not in machine.memo:
            raise _RefusedError("recalls a value that is not there")
        machine.stack.append(machine.memo[argument])
    elif name in ACTIONS:
        ACTIONS[name](machine, argument)
    else:
        raise _RefusedError(f"has the opcode {name}, which no array needs")


def _remember(machine: _Machine, number: int) -> None:
    value = machine.pop()
    machine.stack.append(value)
    machine.memo[number] = value


def _mark(machine: _Machine, _: Any) -> None:
    machine.marks.append(len(machine.stack))


def _tuple(machine: _Machine, _: Any) -> None:
    if not machine.marks:
        raise _RefusedError("ends a list that was not begun")
    start = machine.marks.pop()
    machine.stack[start:] = [tuple(machine.stack[start:])]


def _global(machine: _Machine, names: str) -> None:
    module, _, name = names.partition(" ")
    machine.stack.append(_known(module, name))


def _stack_global(machine: _Machine, _: Any) -> None:
    machine.stack.append(_known(*machine.pop_many(2)))


def _known(module: Any, name: Any) -> _Global:
    if not isinstance(module, str) or not isinstance(name, str) or (module, name) not in GLOBALS:
        shown = f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else "something"
        raise _RefusedError(f"names {shown}, which no array needs")
    return _Global(GLOBALS[module, name])


def _reduce(machine: _Machine, _: Any) -> None:
    """What a real unpickler would do by a call: a new array, a type, or bytes."""
    function, arguments = machine.pop_many(2)
    if not isinstance(function, _Global) or not isinstance(arguments, tuple):
        raise _RefusedError("calls what is no function")
    machine.stack.append(_made(function.meaning, arguments))


def _made(meaning: str, arguments: tuple[Any, ...]) -> Any:
    match meaning, arguments:
        case "_reconstruct", (_Global("ndarray"), (0,), _):
            return _Array()
        # the numbers say whether to align and to copy
        case "dtype", (letters, int(), int()):
            return _Dtype(_letters(letters))
        case "encode", (str() as text, "latin1" | "latin-1"):
            return _bytes(text)
        case "bytes", ():
            return b""
    raise _RefusedError(f"calls {meaning} otherwise than numpy does")


def _letters(value: Any) -> str:
    letters = value.decode("latin-1") if isinstance(value, bytes) else value
    if not isinstance(letters, str) or not NUMBERS.fullmatch(letters):
        shown = f"type {letters[:10]!r}" if isinstance(letters, str) else "unknown type"
        raise _RefusedError(f"holds values of {shown}; whole and floating-point numbers are read")
    return letters


def _build(machine: _Machine, _: Any) -> None:
    """Give a type its byte order, or an array its contents; once."""
    target, state = machine.pop_many(2)
    match target, state:
        case _Dtype(_, None), (3, "<" | ">" | "|" | "=" as order, None, None, None, -1, -1, 0):
            target.order = order
        case _Array(None), (1, tuple() as shape, _Dtype() as dtype, bool() | 0 | 1 as fortran, values):
            target.values = _filled(shape, dtype, bool(fortran), _bytes(values))
        case _:
            raise _RefusedError("sets the contents of something otherwise than numpy does")
    machine.stack.append(target)


def _filled(shape: tuple[Any, ...], dtype: _Dtype, fortran: bool, data: bytes) -> npt.NDArray[Any]:
    """The array of a shape, from its numbers' bytes."""
    # long numbers would take hours to multiply
    if len(shape) > MOST_AXES or not all(type(n) is int and 0 <= n < LONGEST_AXIS for n in shape):
        raise _RefusedError("has an array of an impossible shape")
    if dtype.order is None:
        raise _RefusedError("has an array of an unfinished type")
    order = "" if dtype.order in "|=" else dtype.order
    stored = np.dtype(f"{order}{dtype.letters}")
    if math.prod(shape) * stored.itemsize != len(data):
        raise _RefusedError(f"has an array whose size is not that of its {len(data)} bytes")
    array = np.frombuffer(data, stored).reshape(shape, order="F" if fortran else "C")
    # a copy of its own: the bytes may not be written to
    return array.astype(stored.newbyteorder("="))


def _bytes(value: Any) -> bytes:
    """Bytes, which Python 2 wrote as text."""
    if isinstance(value, str):
        return value.encode("latin-1")
    if not isinstance(value, bytes):
        raise _RefusedError("has an array of Python objects")
    return value


def _nothing(machine: _Machine, _: Any) -> None:
    """Opcodes that only frame the others."""


ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _nothing,
    "FRAME": _nothing,
    "STOP": _nothing,
    "MARK": _mark,
    "TUPLE": _tuple,
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "BUILD": _build,
    "MEMOIZE": lambda machine, _: _remember(machine, len(machine.memo)),
}
