"""The MRC header (.mrc, .rec).

Source: MRC2014, https://www.ccpem.ac.uk/mrc_format/mrc2014.php.
"""

import struct
from pathlib import Path

import numpy as np

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage import header_checks
from dd_nnunet.storage.inflate import PIECE_BYTES

HEADER_BYTES = 1024
BYTES_OF_MODE = {0: 1, 1: 2, 2: 4, 6: 2}
COMPLEX_MODES = (3, 4)
COLOUR_MODE = 16
BYTE_MODE = 0
# "IMOD", and the flag beside it that says signed bytes: https://bio3d.colorado.edu/imod/doc/mrc_format.txt
IMOD_STAMP = 1146047817
IMOD_SIGNED = 1


def check_mrc(path: Path, whole: bool = True) -> header_checks.Oddities:
    """Check a MRC file's header and that its size fits; `whole`: look at its bytes, too.

    Raises:
        UserError: no MRC file, 2-D, colour, complex, unknown type, turned axes, bad spacing, cut off, signed bytes.
    """
    with path.open("rb") as stream:
        head = stream.read(HEADER_BYTES)
    order = _byte_order(head, path)
    sizes_xyz = struct.unpack_from(f"{order}3i", head, 0)
    (mode,) = struct.unpack_from(f"{order}i", head, 12)
    (n_extended_bytes,) = struct.unpack_from(f"{order}i", head, 92)
    if sizes_xyz[2] == 1:
        header_checks.refuse_2d(path)
    if mode in COMPLEX_MODES:
        header_checks.refuse_complex(path)
    if mode == COLOUR_MODE:
        header_checks.refuse_vector(path, 3)
    if mode not in BYTES_OF_MODE:
        header_checks.refuse_type(path, f"MRC mode {mode}")
    axes = struct.unpack_from(f"{order}3i", head, 64)
    # not set by some programs; otherwise ITK passes it over
    if axes not in ((1, 2, 3), (0, 0, 0)):
        raise UserError(
            path, f"has its axes in the order {axes}, (1, 2, 3) is expected", "turn them, e.g. in IMOD"
        )
    odd = header_checks.check_spacing(path, _spacing_xyz(head, order))
    n_voxels = sizes_xyz[0] * sizes_xyz[1] * sizes_xyz[2]
    expected = HEADER_BYTES + n_extended_bytes + n_voxels * BYTES_OF_MODE[mode]
    header_checks.check_found(path, expected, path.stat().st_size)
    if whole and mode == BYTE_MODE and _has_high_bytes(path, HEADER_BYTES + n_extended_bytes, n_voxels):
        odd += _check_sign(path, *struct.unpack_from(f"{order}2i", head, 152))
    return odd


def _has_high_bytes(path: Path, start: int, n_bytes: int) -> bool:
    """Whether there are bytes of which it matters if they are signed."""
    with path.open("rb") as stream:
        stream.seek(start)
        pieces = (stream.read(min(PIECE_BYTES, n_bytes - done)) for done in range(0, n_bytes, PIECE_BYTES))
        return any(np.frombuffer(piece, np.int8).min() < 0 for piece in pieces)


def _check_sign(path: Path, stamp: int, flags: int) -> header_checks.Oddities:
    """Of bytes, which were unsigned before MRC2014, are signed in it, and are unsigned to ITK."""
    if stamp != IMOD_STAMP:
        return (f"{path}: its bytes (mode 0) are taken as 0 to 255, MRC2014 says -128 to 127",)
    if flags & IMOD_SIGNED:
        raise UserError(
            path, "holds signed bytes, which SimpleITK takes as unsigned", "convert it to mode 1 (int16)"
        )
    return ()


def _byte_order(head: bytes, path: Path) -> str:
    """The order in which the sizes and the mode make sense (old files have no machine stamp)."""
    if len(head) == HEADER_BYTES:
        for order in "<>":
            *sizes, mode = struct.unpack_from(f"{order}4i", head, 0)
            (n_extended_bytes,) = struct.unpack_from(f"{order}i", head, 92)
            if all(0 < size < 1 << 20 for size in sizes) and 0 <= mode <= 128 and n_extended_bytes >= 0:
                return order
    raise UserError(path, "is no MRC file (its header is not one)", header_checks.COPY_AGAIN)


def _spacing_xyz(head: bytes, order: str) -> list[float]:
    intervals = struct.unpack_from(f"{order}3i", head, 28)
    lengths = struct.unpack_from(f"{order}3f", head, 40)
    # many programs leave the cell empty; its spacing is then 1
    if not any(lengths):
        return [1.0]
    return [length / n if n else 0.0 for length, n in zip(lengths, intervals, strict=True)]
