"""A NIfTI file read to its end: is it whole, and are all its voxels numbers?

ITK's NIfTI reader puts 0 in the place of NaN and infinity without a word, so they are looked for here.
"""

import contextlib
import gzip
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import numpy as np
import numpy.typing as npt

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage import header_checks
from dd_nnunet.storage.inflate import GZIP_MAGIC, PIECE_BYTES, fault_of
from dd_nnunet.storage.nifti_header import HEADER_BYTES, NiftiHeader, check_nifti_header, parse_nifti_header

# what unpacking a damaged stream raises
DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error)


def check_nifti(
    path: Path, n_volumes: int = 1, finite: bool = True, whole: bool = True
) -> header_checks.Oddities:
    """Check header and size of a .nii or .nii.gz, the latter's checksum, and that voxels are finite.

    Args:
        path: the file.
        n_volumes: that it must hold.
        finite: refuse NaN and infinite voxels.
        whole: read to the end; otherwise the header alone.

    Raises:
        UserError: as `check_integrity`.
    """
    with _unpacked(path) as stream:
        header, odd = _check_head(stream, path, n_volumes)
        if whole:
            _scan(stream, path, header, finite)
        return odd


def count_volumes(path: Path) -> int:
    """How many volumes a file says it holds after one another; 1 if it is no NIfTI file."""
    try:
        with _unpacked(path) as stream:
            return max(1, parse_nifti_header(stream.read(HEADER_BYTES), path).n_volumes)
    except (UserError, OSError, *DAMAGED):
        return 1


def find_not_finite(path: Path, number: int = 0) -> npt.NDArray[np.bool_]:
    """Where a file that `check_nifti` found sound holds no numbers, [Z,Y,X].

    Args:
        path: the file.
        number: which of its volumes.
    """
    with _unpacked(path) as stream:
        header = parse_nifti_header(stream.read(HEADER_BYTES), path)
        shape_zyx = header.dim[3:0:-1]
        dtype = header.float_dtype
        if dtype is None:
            return np.zeros(shape_zyx, np.bool_)
        n_voxels = math.prod(shape_zyx)
        stream.seek(int(header.vox_offset) + number * n_voxels * dtype.itemsize)
        found = np.empty(n_voxels, np.bool_)
        step = PIECE_BYTES // dtype.itemsize
        for start in range(0, n_voxels, step):
            piece = stream.read(min(step, n_voxels - start) * dtype.itemsize)
            found[start : start + step] = ~np.isfinite(np.frombuffer(piece, dtype))
    return found.reshape(shape_zyx)


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[IO[bytes]]:
    if not path.name.lower().endswith(".gz"):
        with path.open("rb") as stream:
            yield stream
        return
    with path.open("rb") as stream:
        if stream.read(len(GZIP_MAGIC)) != GZIP_MAGIC:
            raise UserError(
                path, "is no gzip file (its first bytes are not gzip's)", header_checks.COPY_AGAIN
            )
    with gzip.open(path, "rb") as unpacked:
        yield cast(IO[bytes], unpacked)


def _check_head(stream: IO[bytes], path: Path, n_volumes: int) -> tuple[NiftiHeader, header_checks.Oddities]:
    try:
        head = stream.read(HEADER_BYTES)
    except DAMAGED as error:
        raise UserError(path, f"{fault_of(error)} within its header", header_checks.COPY_AGAIN) from None
    header = parse_nifti_header(head, path)
    return header, check_nifti_header(header, path, n_volumes)


def _scan(stream: IO[bytes], path: Path, header: NiftiHeader, finite: bool) -> None:
    found, n_nan, n_infinite, fault = _count(stream, header)
    header_checks.check_found(path, header.expected_bytes, found, fault)
    if finite:
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
    except DAMAGED as error:
        return found, n_nan, n_infinite, fault_of(error)
    return found, n_nan, n_infinite, ""
