"""NRRD: a text header, then voxels behind it or in a file beside it.

Source: http://teem.sourceforge.net/nrrd/format.html.
"""

import math
import re
from pathlib import Path

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage import header_checks
from dd_nnunet.storage.inflate import GZIP_ONLY
from dd_nnunet.storage.text_headers import (
    CONTROL,
    Fields,
    Stored,
    TextHeader,
    check_axes,
    check_data,
    data_file_beside,
    header_lines,
    numbers_of,
    parse_words,
    put_field,
    text_of,
    whole_number,
)

TYPE_BYTES = {
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
# teem crashes on fields that are a little longer
MAX_FIELD_BYTES = 1000


def check_nrrd(path: Path, whole: bool = True) -> header_checks.Oddities:
    """Check a .nrrd, with its data file if that is detached; `whole`: unpack it.

    Raises:
        UserError: what the floor's `check_integrity` says.
    """
    header = read_nrrd_header(path)
    fields = header.fields
    sizes = numbers_of(path, fields, "sizes", int)
    header_checks.check_sizes(path, sizes)
    kinds = fields.get("kinds", "").split()
    for size, kind in zip(sizes, kinds, strict=False):
        if kind == "complex":
            header_checks.refuse_complex(path)
        # "list" and "time" are volumes after one another; all others but these are components
        if kind not in ("domain", "space", "???", "none", "list", "time"):
            header_checks.refuse_vector(path, size)
    check_axes(path, sizes)
    if fields.get("type") not in TYPE_BYTES:
        header_checks.refuse_type(path, fields.get("type"))
    odd = header_checks.check_spacing(path, _spacing(path, fields))
    expected = math.prod(sizes) * TYPE_BYTES[fields["type"]]
    encoding = fields.get("encoding")
    if encoding not in ("raw", *GZIP_ENCODINGS) or whole_number(path, fields, "lineskip", "0"):
        raise UserError(path, f"has the encoding {encoding!r}", "write it with the encoding raw or gzip")
    window = GZIP_ONLY if encoding in GZIP_ENCODINGS else None
    skip = whole_number(path, fields, "byteskip", "0")
    if skip and window:
        raise UserError(path, f"skips {skip} bytes of compressed data", "write it anew without a byte skip")
    check_data(path, header, Stored(max(0, skip), window, expected), whole)
    return odd


def read_nrrd_header(path: Path) -> TextHeader:
    """Read a NRRD header.

    Raises:
        UserError: this is none, a field stands there twice, or its data lies in several files.
    """
    fields: Fields = {}
    end = 0
    for number, line in enumerate(header_lines(path)):
        if number == 0 and not line.startswith(b"NRRD"):
            break
        end += len(line)
        text = text_of(line)
        if CONTROL.search(text):
            break
        if number > 0 and not text.strip():
            detached = fields.get("datafile")
            return TextHeader(fields, end, data_file_beside(path, detached) if detached else path)
        name, sign, value = text.partition(":")
        # "key:=value" are remarks, "#" are comments
        if sign and not value.startswith("=") and not text.startswith("#"):
            if len(line) > MAX_FIELD_BYTES:
                raise UserError(path, f"its header has a field of {len(line)} bytes", "shorten or remove it")
            # "line skip" and "lineskip" are one field
            put_field(path, fields, name.replace(" ", "").lower(), value.strip())
    raise UserError(path, "is no NRRD file (its header is not one)", header_checks.COPY_AGAIN)


def _spacing(path: Path, fields: Fields) -> list[float]:
    if "spacings" in fields:
        return numbers_of(path, fields, "spacings", float)
    name = "spacedirections"
    vectors = re.findall(r"\(([^)]*)\)", fields.get(name, ""))
    return [math.hypot(*parse_words(path, name, vector.split(","), float)) for vector in vectors] or [1.0]
