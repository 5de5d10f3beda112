"""A NIfTI file read to its end: is it whole, and are all its voxels numbers?

ITK's NIfTI reader puts 0 in the place of NaN and infinity without a word, so they are looked for here.
"""

import gzip
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage import header_checks
from dd_nnunet.storage.inflate import GZIP_MAGIC, PIECE_BYTES, fault_of
from dd_nnunet.storage.nifti_header import HEADER_BYTES, NiftiHeader, check_nifti_header, parse_nifti_header


def check_nifti(path: Path) -> None:
    """Check a .nii: header, size, and that floating-point voxels are finite.

    Raises:
        UserError: as `check_integrity`.
    """
    with path.open("rb") as stream:
        _scan(stream, path)


def check_nifti_gz(path: Path) -> None:
    """Check a .nii.gz as `check_nifti` does, and its checksum.

    Raises:
        UserError: as `check_integrity`.
    """
    with path.open("rb") as stream:
        if stream.read(len(GZIP_MAGIC)) != GZIP_MAGIC:
            raise UserError(
                path, "is no gzip file (its first bytes are not gzip's)", header_checks.COPY_AGAIN
            )
    with gzip.open(path, "rb") as unpacked:
        _scan(cast(IO[bytes], unpacked), path)


def _scan(stream: IO[bytes], path: Path) -> None:
    try:
        head = stream.read(HEADER_BYTES)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(path, f"{fault_of(error)} within its header", header_checks.COPY_AGAIN) from None
    header = parse_nifti_header(head, path)
    check_nifti_header(header, path)
    found, n_nan, n_infinite, fault = _count(stream, header)
    header_checks.check_found(path, header.expected_bytes, found, fault)
    header_checks.check_finite(path, header.n_voxels, n_nan, n_infinite)


def _count(stream: IO[bytes], header: NiftiHeader) -> tuple[int, int, int, str]:
    """Read on from behind the header: all bytes, NaN and infinite voxels, and why it ended early."""
    found, n_nan, n_infinite = HEADER_BYTES, 0, 0
    dtype = header.float_dtype
    # what is read but not yet counted: less than a voxel
    rest = b""
    try:
        # read1 gives what there is, so that the bytes before a fault are counted
        while piece := stream.read1(PIECE_BYTES):  # type: ignore[attr-defined]
            start, found = found, found + len(piece)
            if dtype is not None:
                rest += piece[max(0, int(header.vox_offset) - start) : max(0, header.expected_bytes - start)]
                whole = len(rest) // dtype.itemsize * dtype.itemsize
                voxels, rest = np.frombuffer(rest[:whole], dtype), rest[whole:]
                if not np.isfinite(voxels).all():
                    n_nan += int(np.isnan(voxels).sum())
                    n_infinite += int(np.isinf(voxels).sum())
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        return found, n_nan, n_infinite, fault_of(error)
    return found, n_nan, n_infinite, ""
