"""MetaImage: a text header in a .mha before its voxels, in a .mhd beside them.

Source: MetaIO, https://itk.org/Wiki/ITK/MetaIO/Documentation.
"""

import math
import re
from pathlib import Path

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage import header_checks
from dd_nnunet.storage.inflate import GZIP_OR_ZLIB
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
    put_field,
    text_of,
    whole_number,
)

TYPE_BYTES = {
    **dict.fromkeys(("MET_CHAR", "MET_UCHAR"), 1),
    **dict.fromkeys(("MET_SHORT", "MET_USHORT"), 2),
    **dict.fromkeys(("MET_INT", "MET_UINT", "MET_LONG", "MET_ULONG", "MET_FLOAT"), 4),
    **dict.fromkeys(("MET_LONG_LONG", "MET_ULONG_LONG", "MET_DOUBLE"), 8),
}
# lists of numbers: as many as axes, or as many as its square
LISTS = {
    **dict.fromkeys(("DimSize", "ElementSpacing", "ElementSize", "Offset", "Position", "Origin"), 1),
    **{"CenterOfRotation": 1, "TransformMatrix": 2, "Rotation": 2, "Orientation": 2},
}
# flags, with what they are where they are missing
FLAGS = {
    **{"BinaryData": "True", "CompressedData": "False"},
    **dict.fromkeys(("BinaryDataByteOrderMSB", "ElementByteOrderMSB"), "False"),
}
TRUE, FALSE = ("true", "t", "1"), ("false", "f", "0")
NAME = re.compile(r"[A-Za-z][\w -]{0,199}")


def check_meta_image(path: Path, whole: bool = True) -> header_checks.Oddities:
    """Check a .mha, or a .mhd with its data file; `whole`: unpack it.

    Raises:
        UserError: what the floor's `check_integrity` says.
    """
    header = read_meta_header(path)
    fields = header.fields
    _check_lists(path, fields)
    sizes = numbers_of(path, fields, "DimSize", int)
    header_checks.check_sizes(path, sizes)
    check_axes(path, sizes)
    n_components = whole_number(path, fields, "ElementNumberOfChannels", "1")
    if n_components != 1:
        header_checks.refuse_vector(path, n_components)
    if fields.get("ElementType") not in TYPE_BYTES:
        header_checks.refuse_type(path, fields.get("ElementType"))
    odd = header_checks.check_spacing(path, numbers_of(path, fields, "ElementSpacing", float, "1"))
    is_true = {name: _is_true(path, fields, name, default) for name, default in FLAGS.items()}
    if not is_true["BinaryData"]:
        raise UserError(path, "holds its voxels as text", "write them as binary data")
    expected = math.prod(sizes) * TYPE_BYTES[fields["ElementType"]]
    window = GZIP_OR_ZLIB if is_true["CompressedData"] else None
    skip = whole_number(path, fields, "HeaderSize", "0")
    if skip and (window or header.data_file == path):
        raise UserError(path, f"has the HeaderSize {skip}", "write it anew without one")
    n_packed = whole_number(path, fields, "CompressedDataSize", "0")
    if window and header.data_file == path and not n_packed:
        # MetaIO then leaves the image as the memory was
        raise UserError(
            path, "lacks CompressedDataSize, so that ITK cannot unpack it", "write it anew with ITK"
        )
    check_data(path, header, Stored(max(0, skip), window, expected, n_packed if window else 0), whole)
    return odd


def read_meta_header(path: Path) -> TextHeader:
    """Read a MetaImage header, as strictly as its readers ought to: MetaIO reads on where a value is missing.

    Raises:
        UserError: this is none, a field stands there twice or without a value, or its data lies in several files.
    """
    fields: Fields = {}
    end = 0
    for line in header_lines(path):
        end += len(line)
        text = text_of(line)
        name, sign, value = text.partition("=")
        if not sign or not NAME.fullmatch(name.strip()) or CONTROL.search(text):
            break
        if not value.strip():
            reason = f"its header says nothing behind {name.strip()}"
            raise UserError(path, reason, "remove the line or write a value")
        put_field(path, fields, name.strip(), value.strip())
        if name.strip() == "ElementDataFile":
            own = value.strip().upper() == "LOCAL"
            return TextHeader(fields, end, path if own else data_file_beside(path, value.strip()))
    raise UserError(path, "is no MetaImage file (its header is not one)", header_checks.COPY_AGAIN)


def _check_lists(path: Path, fields: Fields) -> None:
    n_axes = whole_number(path, fields, "NDims", "")
    for name, power in LISTS.items():
        numbers = numbers_of(path, fields, name, float) if name in fields else None
        if numbers is not None and (len(numbers) != n_axes**power or not all(map(math.isfinite, numbers))):
            reason = f"its header says {name}: {fields[name]!r}, {n_axes**power} numbers are expected"
            raise UserError(path, reason, header_checks.COPY_AGAIN)


def _is_true(path: Path, fields: Fields, name: str, default: str) -> bool:
    """A flag; MetaIO looks at its first letter only, other readers at the whole word."""
    value = fields.get(name, default)
    if value.lower() not in TRUE + FALSE:
        raise UserError(path, f"its header says {name}: {value!r}", "write True or False")
    return value.lower() in TRUE
