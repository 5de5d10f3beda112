"""Damaged files made by hand, and the reason that is given for refusing one."""

import struct

import pytest
from properties import check_refusal

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage.volume import read_geometry, read_volume


def refused(call, path):
    with pytest.raises(UserError) as caught:
        call(path)
    check_refusal(caught.value)
    return caught.value.reason


def refused_volume(path, content):
    """The reason, which reading the header alone gives as well: ITK is not even shown it."""
    path.write_bytes(content)
    reason = refused(lambda file: read_volume([file]), path)
    assert refused(read_geometry, path) == reason
    return reason


def changed(data, *changes):
    """Bytes with numbers put in: (offset, struct code, values)."""
    result = bytearray(data)
    for offset, code, *values in changes:
        struct.pack_into(f"<{code}", result, offset, *values)
    return bytes(result)


def tiff_entry(data, page, tag):
    """The place of an entry of a page of a little-endian TIFF."""
    (start,) = struct.unpack_from("<I", data, 4)
    for _ in range(page):
        (n_entries,) = struct.unpack_from("<H", data, start)
        (start,) = struct.unpack_from("<I", data, start + 2 + 12 * n_entries)
    (n_entries,) = struct.unpack_from("<H", data, start)
    places = range(start + 2, start + 2 + 12 * n_entries, 12)
    return next(place for place in places if struct.unpack_from("<H", data, place) == (tag,))
