"""The MRC header (.mrc, .rec).

Source: MRC2014, https://www.ccpem.ac.uk/mrc_format/mrc2014.php.
"""

import struct
from pathlib import Path

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage import header_checks

HEADER_BYTES = 1024
BYTES_OF_MODE = {0: 1, 1: 2, 2: 4, 6: 2}
COMPLEX_MODES = (3, 4)
COLOUR_MODE = 16


def check_mrc(path: Path, whole: bool = True) -> header_checks.Oddities:
    """Check a MRC file's header and (which is as quick, so `whole` makes no difference) that its size fits.

    Raises:
        UserError: no MRC file, 2-D, colour, complex, unknown type, bad spacing, cut off.
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
    odd = header_checks.check_spacing(path, _spacing_xyz(head, order))
    n_voxels = sizes_xyz[0] * sizes_xyz[1] * sizes_xyz[2]
    expected = HEADER_BYTES + n_extended_bytes + n_voxels * BYTES_OF_MODE[mode]
    header_checks.check_found(path, expected, path.stat().st_size)
    return odd


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
