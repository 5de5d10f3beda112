"""Frozen dataclasses to JSON and back, strictly: unknown keys, wrong types and duplicates are refused."""

import dataclasses
import json
import math
import re
import sys
import types
import typing
from typing import Any, NoReturn, TypeVar

from dd_nnunet.core.errors import UserError

Record = TypeVar("Record")

LARGEST_JSON_BYTES = 64 << 20
DEEPEST_JSON = 64
# strings, punctuation, and everything else
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s"{}\[\]:,]+')
COLON = re.compile(r"\s*:")
CONSTANTS = ("NaN", "Infinity", "-Infinity")


class _NotPlain(ValueError):
    """Python's parser takes it, we do not."""


def parse_json(text: str, where: object) -> Any:
    """Parse JSON strictly.

    Args:
        text: the file's text, decoded as UTF-8.
        where: the file's name, used in errors.

    Raises:
        UserError: a syntax error, duplicate key, byte-order mark, NaN, Infinity or a number beyond floats (these with
            line:column), half a character, or more than `DEEPEST_JSON` lists and objects inside one another.
    """
    if text.startswith("\ufeff"):
        raise UserError(f"{where}:1:1", "starts with a byte-order mark", "save it as UTF-8 without BOM")
    try:
        data = json.loads(
            text, object_pairs_hook=_without_duplicates, parse_constant=_finite, parse_float=_finite
        )
    except json.JSONDecodeError as error:
        place = f"{where}:{error.lineno}:{error.colno}"
        raise UserError(place, f"is not valid JSON ({error.msg})", "correct it there") from None
    except _NotPlain:
        raise _not_plain(text, where) from None
    except RecursionError:
        _refuse_depth(where)
    # Python's own guard against whole numbers of thousands of digits
    except ValueError:
        raise UserError(where, "holds a whole number of thousands of digits", "shorten it") from None
    _check_depth(data, where)
    _check_characters(text, data, where)
    return data


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise _NotPlain
    return result


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _NotPlain
    return value


def _check_depth(data: Any, where: object) -> None:
    """Everything that walks through the data calls itself; a pit without bottom must not get that far."""
    layer, depth = [data], 0
    while layer := [node for node in layer if isinstance(node, dict | list)]:
        depth += 1
        if depth > DEEPEST_JSON:
            _refuse_depth(where)
        layer = [child for node in layer for child in (node.values() if isinstance(node, dict) else node)]


def _refuse_depth(where: object) -> NoReturn:
    raise UserError(where, f"is nested more than {DEEPEST_JSON} deep", "use a plain JSON object") from None


def _check_characters(text: str, data: Any, where: object) -> None:
    """Refuse escapes of half a character (lone surrogates), which no file could be written with."""
    if "\\ud" in text.lower():
        try:
            json.dumps(data, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise UserError(where, "holds half a character (a lone \\ud8… escape)", "correct it") from None


def _not_plain(text: str, where: object) -> UserError:
    """The first constant that is no JSON number, or key that stands a second time in its object."""
    keys: list[set[str]] = []
    for token in TOKEN.finditer(text):
        word = token[0]
        if word.startswith(CONSTANTS) or _overflows(word):
            return UserError(
                _place(where, token), f"{word[:20]} is no JSON number", "use null or a finite number"
            )
        if word in "{[":
            keys.append(set())
        elif word in "}]":
            keys.pop()
        elif COLON.match(text, token.end()):
            key = json.loads(word)
            if key in keys[-1]:
                reason = f"key {key!r} stands twice in one object"
                return UserError(_place(where, token), reason, "keep one of them")
            keys[-1].add(key)
    raise AssertionError("the parser found what is not there")


def _overflows(word: str) -> bool:
    try:
        return math.isinf(float(word))
    except ValueError:
        return False


def _place(where: object, token: re.Match[str]) -> str:
    line_start = token.string.rfind("\n", 0, token.start()) + 1
    line = token.string.count("\n", 0, token.start()) + 1
    return f"{where}:{line}:{token.start() - line_start + 1}"


def dump_json(data: Any) -> str:
    """Write JSON text: two-space indent, order kept, finite numbers only, a final newline."""
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def record_to_json(record: Any, without_defaults: bool = False) -> Any:
    """Turn a record (dataclass, tuple, dict, plain value) into JSON data; non-finite floats become null.

    Args:
        record: what to turn.
        without_defaults: leave out fields at their default, so that a field that is added to a record later changes
            nothing about those that do not use it.
    """
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        values = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
        defaults = {f.name: f.default for f in dataclasses.fields(record)} if without_defaults else {}
        record = {
            name: value for name, value in values.items() if name not in defaults or value != defaults[name]
        }
    if isinstance(record, dict):
        return {str(key): record_to_json(value, without_defaults) for key, value in record.items()}
    if isinstance(record, list | tuple):
        return [record_to_json(value, without_defaults) for value in record]
    if isinstance(record, float) and not math.isfinite(record):
        return None
    return record


def record_from_json(cls: type[Record], data: Any, where: object) -> Record:
    """Build a frozen dataclass from JSON data, checking every key and type.

    Raises:
        UserError: an unknown or missing key, or a value of another type, named by its JSON path.
    """
    return typing.cast(Record, _decode(cls, data, where, "$"))


def _decode(kind: Any, data: Any, where: object, path: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(kind, data, where, path)
    origin = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _decode_union(arguments, data, where, path)
    if origin is typing.Literal:
        if data in arguments:
            return data
        allowed = ", ".join(map(repr, arguments))
        raise UserError(where, f"{path} is {data!r}", f"allowed: {allowed}")
    if origin is tuple:
        return _decode_tuple(arguments, data, where, path)
    if origin is dict:
        _expect(isinstance(data, dict), "an object", data, where, path)
        return {k: _decode(arguments[1], v, where, f"{path}.{k}") for k, v in data.items()}
    return _decode_plain(kind, data, where, path)


def _decode_dataclass(kind: Any, data: Any, where: object, path: str) -> Any:
    _expect(isinstance(data, dict), "an object", data, where, path)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    unknown = sorted(set(data) - set(fields))
    if unknown:
        raise UserError(where, f"{path} has unknown key {unknown[0]!r}", f"allowed: {', '.join(fields)}")
    hints = typing.get_type_hints(kind)
    values = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _decode(hints[name], data[name], where, f"{path}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise UserError(where, f"{path} lacks the key {name!r}", "write the file anew or add it")
    try:
        return kind(**values)
    except ValueError as error:
        # a record may name its own remedy
        reason, remedy = (*error.args, "correct the value")[:2]
        raise UserError(where, f"{path}: {reason}", remedy) from None


def _decode_union(arguments: tuple[Any, ...], data: Any, where: object, path: str) -> Any:
    if data is None and type(None) in arguments:
        return None
    rest = [a for a in arguments if a is not type(None)]
    for option in rest[:-1]:
        try:
            return _decode(option, data, where, path)
        except UserError:
            continue
    return _decode(rest[-1], data, where, path)


def _decode_tuple(arguments: tuple[Any, ...], data: Any, where: object, path: str) -> Any:
    _expect(isinstance(data, list), "a list", data, where, path)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_decode(arguments[0], v, where, f"{path}[{i}]") for i, v in enumerate(data))
    _expect(len(data) == len(arguments), f"a list of {len(arguments)}", data, where, path)
    pairs = zip(arguments, data, strict=True)
    return tuple(_decode(a, v, where, f"{path}[{i}]") for i, (a, v) in enumerate(pairs))


def _decode_plain(kind: Any, data: Any, where: object, path: str) -> Any:
    if kind is Any:
        return data
    is_bool = isinstance(data, bool)
    if kind is float:
        _expect(isinstance(data, int | float) and not is_bool, "a number", data, where, path)
        _expect(abs(data) <= sys.float_info.max, "a smaller number", data, where, path)
        return float(data)
    if kind is int:
        _expect(isinstance(data, int) and not is_bool, "a whole number", data, where, path)
        return data
    if kind is bool:
        _expect(is_bool, "true or false", data, where, path)
        return data
    if kind is str:
        _expect(isinstance(data, str), "a text", data, where, path)
        return data
    raise AssertionError(f"no JSON form for {kind!r}")


def _expect(holds: bool, what: str, data: Any, where: object, path: str) -> None:
    if not holds:
        shown = json.dumps(data, ensure_ascii=False)[:60]
        raise UserError(where, f"{path} is {shown}", f"expected {what}")
