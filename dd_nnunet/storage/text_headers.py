"""MetaImage and NRRD: a text header, then voxels behind it or in a file beside it.

Sources: MetaIO, https://itk.org/Wiki/ITK/MetaIO/Documentation; NRRD, http://teem.sourceforge.net/nrrd/format.html.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage import header_checks
from dd_nnunet.storage.inflate import GZIP_ONLY, GZIP_OR_ZLIB, count_inflated

MAX_HEADER_BYTES = 1 << 20
META_TYPE_BYTES = {
    **dict.fromkeys(("MET_CHAR", "MET_UCHAR"), 1),
    **dict.fromkeys(("MET_SHORT", "MET_USHORT"), 2),
    **dict.fromkeys(("MET_INT", "MET_UINT", "MET_LONG", "MET_ULONG", "MET_FLOAT"), 4),
    **dict.fromkeys(("MET_LONG_LONG", "MET_ULONG_LONG", "MET_DOUBLE"), 8),
}
NRRD_TYPE_BYTES = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), 2),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), 2),
    **dict.fromkeys(
        ("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t"), 4
    ),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"), 8),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), 8),
    **{"float": 4, "double": 8},
}
GZIP_ENCODINGS = ("gzip", "gz")
# MetaImage's lists of numbers: as many as axes, or as many as its square
META_LISTS = {
    **dict.fromkeys(("DimSize", "ElementSpacing", "ElementSize", "Offset", "Position", "Origin"), 1),
    **{"CenterOfRotation": 1, "TransformMatrix": 2, "Rotation": 2, "Orientation": 2},
}
# flags, with what they are where they are missing
META_FLAGS = {
    **{"BinaryData": "True", "CompressedData": "False"},
    **dict.fromkeys(("BinaryDataByteOrderMSB", "ElementByteOrderMSB"), "False"),
}
META_TRUE, META_FALSE = ("true", "t", "1"), ("false", "f", "0")
META_NAME = re.compile(r"[A-Za-z][\w -]{0,199}")
# teem crashes on fields that are a little longer
MAX_NRRD_FIELD_BYTES = 1000
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


def check_meta_image(path: Path, whole: bool = True) -> header_checks.Oddities:
    """Check a .mha, or a .mhd with its data file; `whole`: unpack it.

    Raises:
        UserError: what the floor's `check_integrity` says.
    """
    header = read_meta_header(path)
    fields = header.fields
    _check_meta_lists(path, fields)
    sizes = _numbers(path, fields, "DimSize", int)
    header_checks.check_sizes(path, sizes)
    _check_axes(path, sizes)
    n_components = _whole(path, fields, "ElementNumberOfChannels", "1")
    if n_components != 1:
        header_checks.refuse_vector(path, n_components)
    if fields.get("ElementType") not in META_TYPE_BYTES:
        header_checks.refuse_type(path, fields.get("ElementType"))
    odd = header_checks.check_spacing(path, _numbers(path, fields, "ElementSpacing", float, "1"))
    is_true = {name: _is_true(path, fields, name, default) for name, default in META_FLAGS.items()}
    if not is_true["BinaryData"]:
        raise UserError(path, "holds its voxels as text", "write them as binary data")
    expected = math.prod(sizes) * META_TYPE_BYTES[fields["ElementType"]]
    window = GZIP_OR_ZLIB if is_true["CompressedData"] else None
    skip = _whole(path, fields, "HeaderSize", "0")
    if skip and (window or header.data_file == path):
        raise UserError(path, f"has the HeaderSize {skip}", "write it anew without one")
    n_packed = _whole(path, fields, "CompressedDataSize", "0")
    if window and header.data_file == path and not n_packed:
        # MetaIO then leaves the image as the memory was
        raise UserError(
            path, "lacks CompressedDataSize, so that ITK cannot unpack it", "write it anew with ITK"
        )
    _check_data(path, header, Stored(max(0, skip), window, expected, n_packed if window else 0), whole)
    return odd


def check_nrrd(path: Path, whole: bool = True) -> header_checks.Oddities:
    """Check a .nrrd, with its data file if that is detached; `whole`: unpack it.

    Raises:
        UserError: what the floor's `check_integrity` says.
    """
    header = read_nrrd_header(path)
    fields = header.fields
    sizes = _numbers(path, fields, "sizes", int)
    header_checks.check_sizes(path, sizes)
    kinds = fields.get("kinds", "").split()
    for size, kind in zip(sizes, kinds, strict=False):
        if kind == "complex":
            header_checks.refuse_complex(path)
        # "list" and "time" are volumes after one another; all others but these are components
        if kind not in ("domain", "space", "???", "none", "list", "time"):
            header_checks.refuse_vector(path, size)
    _check_axes(path, sizes)
    if fields.get("type") not in NRRD_TYPE_BYTES:
        header_checks.refuse_type(path, fields.get("type"))
    odd = header_checks.check_spacing(path, _nrrd_spacing(path, fields))
    expected = math.prod(sizes) * NRRD_TYPE_BYTES[fields["type"]]
    encoding = fields.get("encoding")
    if encoding not in ("raw", *GZIP_ENCODINGS) or _whole(path, fields, "lineskip", "0"):
        raise UserError(path, f"has the encoding {encoding!r}", "write it with the encoding raw or gzip")
    window = GZIP_ONLY if encoding in GZIP_ENCODINGS else None
    skip = _whole(path, fields, "byteskip", "0")
    if skip and window:
        raise UserError(path, f"skips {skip} bytes of compressed data", "write it anew without a byte skip")
    _check_data(path, header, Stored(max(0, skip), window, expected), whole)
    return odd


def read_meta_header(path: Path) -> TextHeader:
    """Read a MetaImage header, as strictly as its readers ought to: MetaIO reads on where a value is missing.

    Raises:
        UserError: this is none, a field stands there twice or without a value, or its data lies in several files.
    """
    fields: Fields = {}
    end = 0
    for line in _lines(path):
        end += len(line)
        text = _text_of(line)
        name, sign, value = text.partition("=")
        if not sign or not META_NAME.fullmatch(name.strip()) or CONTROL.search(text):
            break
        if not value.strip():
            reason = f"its header says nothing behind {name.strip()}"
            raise UserError(path, reason, "remove the line or write a value")
        _put(path, fields, name.strip(), value.strip())
        if name.strip() == "ElementDataFile":
            own = value.strip().upper() == "LOCAL"
            return TextHeader(fields, end, path if own else _beside(path, value.strip()))
    raise UserError(path, "is no MetaImage file (its header is not one)", header_checks.COPY_AGAIN)


def read_nrrd_header(path: Path) -> TextHeader:
    """Read a NRRD header.

    Raises:
        UserError: this is none, a field stands there twice, or its data lies in several files.
    """
    fields: Fields = {}
    end = 0
    for number, line in enumerate(_lines(path)):
        if number == 0 and not line.startswith(b"NRRD"):
            break
        end += len(line)
        text = _text_of(line)
        if CONTROL.search(text):
            break
        if number > 0 and not text.strip():
            detached = fields.get("datafile")
            return TextHeader(fields, end, _beside(path, detached) if detached else path)
        name, sign, value = text.partition(":")
        # "key:=value" are remarks, "#" are comments
        if sign and not value.startswith("=") and not text.startswith("#"):
            if len(line) > MAX_NRRD_FIELD_BYTES:
                raise UserError(path, f"its header has a field of {len(line)} bytes", "shorten or remove it")
            # "line skip" and "lineskip" are one field
            _put(path, fields, name.replace(" ", "").lower(), value.strip())
    raise UserError(path, "is no NRRD file (its header is not one)", header_checks.COPY_AGAIN)


def _check_data(path: Path, header: TextHeader, stored: Stored, whole: bool) -> None:
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


def _check_meta_lists(path: Path, fields: Fields) -> None:
    n_axes = _whole(path, fields, "NDims", "")
    for name, power in META_LISTS.items():
        numbers = _numbers(path, fields, name, float) if name in fields else None
        if numbers is not None and (len(numbers) != n_axes**power or not all(map(math.isfinite, numbers))):
            reason = f"its header says {name}: {fields[name]!r}, {n_axes**power} numbers are expected"
            raise UserError(path, reason, header_checks.COPY_AGAIN)


def _is_true(path: Path, fields: Fields, name: str, default: str) -> bool:
    """A flag; MetaIO looks at its first letter only, other readers at the whole word."""
    value = fields.get(name, default)
    if value.lower() not in META_TRUE + META_FALSE:
        raise UserError(path, f"its header says {name}: {value!r}", "write True or False")
    return value.lower() in META_TRUE


def _check_axes(path: Path, sizes: Sequence[int]) -> None:
    if len(sizes) < 3:
        header_checks.refuse_2d(path)
    if math.prod(sizes[3:]) > 1:
        header_checks.refuse_4d(path, math.prod(sizes[3:]))


def _lines(path: Path) -> list[bytes]:
    with path.open("rb") as stream:
        head = stream.read(MAX_HEADER_BYTES)
    # other ends of lines are none to all readers
    *lines, rest = head.split(b"\n")
    return [line + b"\n" for line in lines] + ([rest] if rest else [])


def _text_of(line: bytes) -> str:
    return line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape")


def _put(path: Path, fields: Fields, name: str, value: str) -> None:
    if name in fields:
        raise UserError(path, f"its header says {name} twice", "keep one of them")
    fields[name] = value


def _beside(path: Path, name: str) -> Path:
    if name.upper().startswith("LIST") or "%" in name:
        raise UserError(path, "keeps its voxels in several files", "write it as one file")
    return path.parent / name


def _numbers(
    path: Path, fields: Fields, name: str, kind: Callable[[str], Number], default: str = ""
) -> list[Number]:
    return _parse_words(path, name, fields.get(name, default).split(), kind)


def _whole(path: Path, fields: Fields, name: str, default: str) -> int:
    numbers = _numbers(path, fields, name, int, default)
    if len(numbers) != 1:
        raise UserError(
            path, f"its header says {name}: {fields[name]!r}, 1 number is expected", header_checks.COPY_AGAIN
        )
    return numbers[0]


def _parse_words(path: Path, name: str, words: Sequence[str], kind: Callable[[str], Number]) -> list[Number]:
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


def _nrrd_spacing(path: Path, fields: Fields) -> list[float]:
    if "spacings" in fields:
        return _numbers(path, fields, "spacings", float)
    name = "spacedirections"
    vectors = re.findall(r"\(([^)]*)\)", fields.get(name, ""))
    return [math.hypot(*_parse_words(path, name, vector.split(","), float)) for vector in vectors] or [1.0]
