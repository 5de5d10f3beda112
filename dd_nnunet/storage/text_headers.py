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
    **{"MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4},
    **{
        "MET_LONG": 4,
        "MET_ULONG": 4,
        "MET_LONG_LONG": 8,
        "MET_ULONG_LONG": 8,
        "MET_FLOAT": 4,
        "MET_DOUBLE": 8,
    },
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
Fields = dict[str, str]
Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class TextHeader:
    """A text header, and where the voxels are that it announces.

    Args:
        fields: by lower-case name.
        end: bytes up to and with the header's last line.
        data_file: the file that holds the voxels, maybe the header's own.
    """

    fields: Fields
    end: int
    data_file: Path

    def data_start(self, path: Path) -> int:
        """Where the voxels begin in the data file, before anything its fields say is skipped."""
        return self.end if self.data_file == path else 0


def check_meta_image(path: Path) -> header_checks.Oddities:
    """Check a .mha, or a .mhd with its data file.

    Raises:
        UserError: what the floor's `check_integrity` says.
    """
    header = read_meta_header(path)
    fields = header.fields
    sizes = _numbers(path, fields, "dimsize", int)
    header_checks.check_sizes(path, sizes)
    _check_axes(path, sizes)
    n_components = _numbers(path, fields, "elementnumberofchannels", int, "1")[0]
    if n_components > 1:
        header_checks.refuse_vector(path, n_components)
    if fields.get("elementtype") not in META_TYPE_BYTES:
        header_checks.refuse_type(path, fields.get("elementtype"))
    odd = header_checks.check_spacing(path, _numbers(path, fields, "elementspacing", float, "1"))
    if fields.get("binarydata", "True").lower() == "false":
        raise UserError(path, "holds its voxels as text", "write them as binary data")
    expected = math.prod(sizes) * META_TYPE_BYTES[fields["elementtype"]]
    skip = max(0, _numbers(path, fields, "headersize", int, "0")[0])
    window = GZIP_OR_ZLIB if fields.get("compresseddata", "False").lower() == "true" else None
    _check_data(path, header, skip, window, expected)
    return odd


def check_nrrd(path: Path) -> header_checks.Oddities:
    """Check a .nrrd, with its data file if that is detached.

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
    if encoding not in ("raw", *GZIP_ENCODINGS) or int(fields.get("line skip", "0")):
        raise UserError(path, f"has the encoding {encoding!r}", "write it with the encoding raw or gzip")
    skip = max(0, _numbers(path, fields, "byte skip", int, "0")[0])
    _check_data(path, header, skip, GZIP_ONLY if encoding in GZIP_ENCODINGS else None, expected)
    return odd


def read_meta_header(path: Path) -> TextHeader:
    """Read a MetaImage header.

    Raises:
        UserError: this is none, or its data lies in several files.
    """
    fields: Fields = {}
    end = 0
    for line in _lines(path):
        end += len(line)
        name, sign, value = line.decode("latin-1").partition("=")
        if not sign:
            break
        fields[name.strip().lower()] = value.strip()
        if name.strip().lower() == "elementdatafile":
            own = value.strip().upper() == "LOCAL"
            return TextHeader(fields, end, path if own else _beside(path, value.strip()))
    raise UserError(path, "is no MetaImage file (its header is not one)", header_checks.COPY_AGAIN)


def read_nrrd_header(path: Path) -> TextHeader:
    """Read a NRRD header.

    Raises:
        UserError: this is none, or its data lies in several files.
    """
    fields: Fields = {}
    end = 0
    for number, line in enumerate(_lines(path)):
        if number == 0 and not line.startswith(b"NRRD"):
            break
        end += len(line)
        text = line.decode("latin-1").strip()
        if number > 0 and not text:
            detached = fields.get("data file", fields.get("datafile"))
            return TextHeader(fields, end, _beside(path, detached) if detached else path)
        name, sign, value = text.partition(":")
        # "key:=value" are remarks, "#" are comments
        if sign and not value.startswith("=") and not text.startswith("#"):
            fields[name.strip().lower()] = value.strip()
    raise UserError(path, "is no NRRD file (its header is not one)", header_checks.COPY_AGAIN)


def _check_data(path: Path, header: TextHeader, skip: int, window: int | None, expected: int) -> None:
    """Count the voxels' bytes; `window` is zlib's code for compressed data, None for plain."""
    if not header.data_file.is_file():
        raise UserError(
            path, f"its data file {header.data_file.name} does not exist", "put it beside the header"
        )
    with header.data_file.open("rb") as stream:
        start = header.data_start(path) + skip
        if window is None:
            header_checks.check_found(path, expected, max(0, header.data_file.stat().st_size - start))
        else:
            stream.seek(start)
            found, fault = count_inflated(stream, window)
            header_checks.check_found(path, expected, found, fault)


def _check_axes(path: Path, sizes: Sequence[int]) -> None:
    if len(sizes) < 3:
        header_checks.refuse_2d(path)
    if math.prod(sizes[3:]) > 1:
        header_checks.refuse_4d(path, math.prod(sizes[3:]))


def _lines(path: Path) -> list[bytes]:
    with path.open("rb") as stream:
        return stream.read(MAX_HEADER_BYTES).splitlines(keepends=True)


def _beside(path: Path, name: str) -> Path:
    if name.upper().startswith("LIST") or "%" in name:
        raise UserError(path, "keeps its voxels in several files", "write it as one file")
    return path.parent / name


def _numbers(
    path: Path, fields: Fields, name: str, kind: Callable[[str], Number], default: str = ""
) -> list[Number]:
    return _parse_words(path, name, fields.get(name, default).split(), kind)


def _parse_words(path: Path, name: str, words: Sequence[str], kind: Callable[[str], Number]) -> list[Number]:
    try:
        numbers = [kind(word) for word in words]
    except ValueError:
        numbers = []
    if not numbers:
        raise UserError(path, f"its header says {name}: {' '.join(words)!r}", header_checks.COPY_AGAIN)
    return numbers


def _nrrd_spacing(path: Path, fields: Fields) -> list[float]:
    if "spacings" in fields:
        return _numbers(path, fields, "spacings", float)
    name = "space directions"
    vectors = re.findall(r"\(([^)]*)\)", fields.get(name, ""))
    return [math.hypot(*_parse_words(path, name, vector.split(","), float)) for vector in vectors] or [1.0]
