"""Small damages: to bytes anywhere, to numbers at known places, to lines of a text header, to JSON."""

import json
import re
import struct

from hypothesis import strategies as st

ODD_INTS = (
    0,
    1,
    -1,
    2,
    3,
    4,
    5,
    7,
    8,
    16,
    127,
    128,
    255,
    256,
    348,
    1000,
    32767,
    -32768,
    65535,
    2**31 - 1,
    -(2**31),
)
ODD_FLOATS = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, 352.5, 2.0, 1e-45, 1e-20, 1e-8, 1e8, 1e20, 3.4e38),
    *(float("inf"), float("-inf"), float("nan")),
)
ODD_WORDS = (
    *("", "0", "1", "-1", "2", "3", "1 1 1", "2 3 4", "4 3 2", "4 3 2 1", "4 3", "1 4 3 2", "0.5 1 2"),
    *("nan", "nan nan nan", "inf", "-inf", "1e400", "1e-400 1 1", "1_2 1 1", "٣ 3 2", "+4 3 2", "4.0 3 2"),
    *("99999999999999999999", "9" * 4000 + " 9 9", "-9223372036854775808", "2147483647 2147483647 2147483647"),
    *("LOCAL", "Local", "LoCaL", "LIST", "LISTFILE", "x%03d.raw 1 2 1", ".", "..", "/dev/zero", "a.raw"),
    *("x" * 300, "a\0b", "True", "true", "T", "False", "1 0 0 0 1 0 0 0 1", "1 0.1 0 0 1 0 0 0 1"),
    *("(1,0,0) (0,1,0) (0,0,1)", "(1,0,0) (0.5,1,0) (0,0,1)", "(nan,0,0) (0,1,0) (0,0,1)", "none (1,0,0) (0,1,0)"),
    *("domain domain domain", "space space space", "complex domain domain", "list domain domain"),
    *("MET_CHAR", "MET_UCHAR", "MET_SHORT", "MET_USHORT", "MET_INT", "MET_LONG", "MET_FLOAT", "MET_NONE"),
    *("char", "int8", "uint8", "short", "uint16", "int", "float", "double", "int64", "block"),
    *("raw", "gzip", "GZIP", "bzip2", "hex", "ascii", "txt", "little", "big", "left-posterior-superior", "3D-right"),
)  # fmt: skip
ODD_TOKENS = (
    *("null", "true", "false", "0", "1", "-1", "2", "0.0", "1.5", "-0.0", "1e999", "-1e999", "NaN"),
    *("-Infinity", "Infinity", "1e-999", "9" * 20, "-" + "9" * 400, "9" * 5000, "1" + "0" * 400 + ".5", "1e5"),
    *("65536", '"' + "x" * 5000 + '"'),
    *('""', '"x"', '"\\ud800"', '"\\u0000"', '"../../x"', '"a/b"', '"\\u001b[31m"', '"<script>"'),
    *("[]", "{}", "[[]]", "[0]", "[1, 2, 3]", "[0, 0, 0]", '["a"]', '{"": 0}', '{"0": "x"}', '{"a": 1, "a": 2}', ""),
)  # fmt: skip


@st.composite
def damaged_bytes(draw, data, n_most=4):
    """Bytes flipped, set, cut off, put in, taken out or repeated, mostly near the start."""
    result = bytearray(data)
    for _ in range(draw(st.integers(1, n_most))):
        end = len(result)
        at = draw(st.one_of(st.integers(0, min(end, 400)), st.integers(0, end)))
        length = draw(st.integers(1, 16))
        piece = result[at : at + length]
        kind = draw(st.sampled_from(("set", "set", "flip", "cut", "insert", "remove", "repeat")))
        if kind == "set":
            new = draw(st.binary(min_size=1, max_size=8))
            result[at : at + len(new)] = new
        elif kind == "flip" and piece:
            result[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del result[at:]
        elif kind == "insert":
            result[at:at] = draw(st.binary(min_size=1, max_size=16))
        elif kind == "remove":
            del result[at : at + length]
        else:
            result[at:at] = piece
    return bytes(result)


@st.composite
def damaged_fields(draw, data, fields, n_most=3):
    """Numbers replaced at known places; `fields`: (offset, struct code with its byte order)."""
    result = bytearray(data)
    for offset, code in draw(st.lists(st.sampled_from(fields), min_size=1, max_size=n_most)):
        if code[-1] in "fd":
            value = draw(st.one_of(st.sampled_from(ODD_FLOATS), st.floats(width=32)))
        else:
            odd = draw(st.one_of(st.sampled_from(ODD_INTS), st.integers(-300, 70000)))
            bits = 8 * struct.calcsize(code)
            value = odd % 2**bits
            if code[-1].islower() and value >= 2 ** (bits - 1):
                value -= 2**bits
        struct.pack_into(code, result, offset, value)
    return bytes(result)


@st.composite
def damaged_lines(draw, text, sign, more_names, n_most=3):
    """A text header of lines `name{sign} value`: values replaced, lines removed, doubled, moved or added."""
    lines = text.splitlines()
    words = st.one_of(st.sampled_from(ODD_WORDS), st.text(max_size=12))
    for _ in range(draw(st.integers(1, n_most))):
        at = draw(st.integers(0, len(lines) - 1))
        name, found, _ = lines[at].partition(sign)
        kind = draw(st.sampled_from(("value", "value", "value", "remove", "double", "move", "add", "end")))
        if kind == "value" and found:
            lines[at] = f"{name}{sign} {draw(words)}"
        elif kind == "remove" and len(lines) > 1:
            del lines[at]
        elif kind == "double" and found:
            lines.insert(draw(st.integers(0, at)), f"{name}{sign} {draw(words)}")
        elif kind == "move":
            lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(at))
        elif kind == "add":
            lines.insert(at, f"{draw(st.sampled_from(more_names))}{sign} {draw(words)}")
        elif kind == "end":
            lines[at] += draw(st.sampled_from(("\r", "\t", " ", "\v", "\f", "#", "\0", "\x85", "é")))
    return "\n".join(lines)


@st.composite
def damaged_json(draw, text, n_most=3):
    """JSON text with values replaced by odd ones, keys renamed or lines lost, or bytes damaged."""
    for _ in range(draw(st.integers(1, n_most))):
        kind = draw(st.sampled_from(("token", "token", "token", "tree", "bytes")))
        values = list(re.finditer(r'-?\d[\d.eE+-]*|true|false|null|"(?:[^"\\]|\\.)*"', text))
        if kind == "token" and values:
            match = values[draw(st.integers(0, len(values) - 1))]
            token = draw(st.one_of(st.sampled_from(ODD_TOKENS), st.text(max_size=6)))
            text = text[: match.start()] + token + text[match.end() :]
        elif kind == "tree":
            text = draw(_replanted(text))
        else:
            text = draw(damaged_bytes(text.encode("utf-8", "replace"), 1)).decode("utf-8", "replace")
    return text


ODD_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def _replanted(draw, text):
    """One node of the tree replaced or removed, or a new one beside it."""
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        return text
    node = tree
    while isinstance(node, dict | list) and node:
        key = draw(st.sampled_from(list(node) if isinstance(node, dict) else list(range(len(node)))))
        if isinstance(node[key], dict | list) and node[key] and draw(st.integers(0, 3)):
            node = node[key]
            continue
        kind = draw(st.sampled_from(("replace", "remove", "add")))
        if kind == "replace":
            node[key] = draw(ODD_VALUES)
        elif kind == "remove":
            del node[key]
        elif isinstance(node, dict):
            node[draw(st.text(max_size=6))] = draw(ODD_VALUES)
        else:
            node.append(draw(ODD_VALUES))
        break
    try:
        return json.dumps(tree, ensure_ascii=draw(st.booleans()))
    except ValueError:
        # a number of more digits than Python writes
        return text
