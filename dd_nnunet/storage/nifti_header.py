"""The NIfTI-1 header, read by ourselves: ITK repairs silently what we want to refuse.

Source: nifti1.h and nifti2.h, https://nifti.nimh.nih.gov/nifti-1 and https://nifti.nimh.nih.gov/nifti-2.
"""

import math
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage import header_checks

HEADER_BYTES = 348
NIFTI_2_HEADER_BYTES = 540
MAGIC = b"n+1\0"
BYTES_OF_DATATYPE = {2: 1, 4: 2, 8: 4, 16: 4, 64: 8, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8}
FLOAT_DATATYPES = {16: "f4", 64: "f8"}
COMPONENTS_OF_COLOUR = {128: 3, 2304: 4}
COMPLEX_DATATYPES = (32, 1792, 2048)
# more than rounding in the header; ITK itself refuses somewhere below
MAX_COSINE = 1e-3
# ITK takes a scl_slope below this for 1
MIN_SLOPE = sys.float_info.epsilon


@dataclass(frozen=True)
class NiftiHeader:
    """The entries we check, named as in nifti1.h.

    Args:
        dim, datatype, pixdim, vox_offset, scl_slope, scl_inter, qform_code, sform_code: as they stand there.
        qform: quatern_b, c, d and qoffset_x, y, z.
        sform: the three rows of the affine.
        byte_order: of the file, as `struct` writes it.
    """

    dim: tuple[int, ...]
    datatype: int
    pixdim: tuple[float, ...]
    vox_offset: float
    scl_slope: float
    scl_inter: float
    qform_code: int
    sform_code: int
    qform: tuple[float, ...]
    sform: tuple[tuple[float, ...], ...]
    byte_order: Literal["<", ">"]

    @property
    def n_voxels(self) -> int:
        """Voxels over all axes."""
        return math.prod(self.dim[1 : self.dim[0] + 1])

    @property
    def n_volumes(self) -> int:
        """Volumes after one another, along axis 4."""
        return self.dim[4] if self.dim[0] >= 4 else 1

    @property
    def expected_bytes(self) -> int:
        """Header and voxels together."""
        return int(self.vox_offset) + self.n_voxels * BYTES_OF_DATATYPE[self.datatype]

    @property
    def float_dtype(self) -> np.dtype[Any] | None:
        """The type of floating-point voxels in the file, None for whole numbers."""
        code = FLOAT_DATATYPES.get(self.datatype)
        return None if code is None else np.dtype(self.byte_order + code)


def parse_nifti_header(head: bytes, path: Path) -> NiftiHeader:
    """Read the entries, of either byte order, from the first bytes of an (unpacked) .nii file.

    Raises:
        UserError: these are not the first bytes of a NIfTI-1 file.
    """
    orders: tuple[Literal["<"], Literal[">"]] = ("<", ">")
    for order in orders:
        (n_header_bytes,) = struct.unpack_from(f"{order}i", head.ljust(4, b"\0"))
        if n_header_bytes == HEADER_BYTES <= len(head) and head[344:348] == MAGIC:
            return _parse(head, order)
        if n_header_bytes == NIFTI_2_HEADER_BYTES and head[4:7] == b"n+2":
            raise UserError(
                path, "is NIfTI-2, which SimpleITK does not read", "convert it to NIfTI-1 or NRRD"
            )
    raise UserError(path, "is no NIfTI file (its header is not one)", header_checks.COPY_AGAIN)


def check_nifti_header(header: NiftiHeader, path: Path, n_volumes: int = 1) -> header_checks.Oddities:
    """Refuse what is not one 3-D volume (or so many) of real numbers with a sound geometry.

    Raises:
        UserError: 2-D, 4-D, vector, colour, complex, unknown type, bad size, spacing, scaling, position or shear.
    """
    _check_dim(header.dim, path, n_volumes)
    if header.datatype in COMPONENTS_OF_COLOUR:
        header_checks.refuse_vector(path, COMPONENTS_OF_COLOUR[header.datatype])
    if header.datatype in COMPLEX_DATATYPES:
        header_checks.refuse_complex(path)
    if header.datatype not in BYTES_OF_DATATYPE:
        header_checks.refuse_type(path, f"NIfTI {header.datatype}")
    odd = header_checks.check_spacing(path, header.pixdim[1:4])
    if not math.isfinite(header.vox_offset) or header.vox_offset < HEADER_BYTES:
        raise UserError(path, f"has the vox_offset {header.vox_offset:g}", header_checks.COPY_AGAIN)
    _check_scaling(header, path)
    _check_position(header, path)
    if header.sform_code > 0 and _is_sheared(header.sform):
        # with a qform, ITK falls back to it
        if header.qform_code <= 0:
            header_checks.refuse_sheared(path)
        odd += (f"{path}: its sform is sheared, its qform is taken",)
    return odd


def _parse(head: bytes, order: Literal["<", ">"]) -> NiftiHeader:
    def unpack(code: str, offset: int) -> tuple[Any, ...]:
        return struct.unpack_from(order + code, head, offset)

    qform_code, sform_code = unpack("2h", 252)
    return NiftiHeader(
        dim=unpack("8h", 40),
        datatype=unpack("h", 70)[0],
        pixdim=unpack("8f", 76),
        vox_offset=unpack("f", 108)[0],
        scl_slope=unpack("f", 112)[0],
        scl_inter=unpack("f", 116)[0],
        qform_code=qform_code,
        sform_code=sform_code,
        qform=unpack("6f", 256),
        sform=(unpack("4f", 280), unpack("4f", 296), unpack("4f", 312)),
        byte_order=order,
    )


def _check_dim(dim: tuple[int, ...], path: Path, n_volumes: int) -> None:
    n_axes = dim[0]
    if not 1 <= n_axes <= 7:
        raise UserError(path, f"has {n_axes} axes in its header, 3 are expected", header_checks.COPY_AGAIN)
    header_checks.check_sizes(path, dim[1 : n_axes + 1])
    if n_axes < 3:
        header_checks.refuse_2d(path)
    # axis 5 holds vector components (nifti1.h), axis 4 the time
    n_components = math.prod(dim[5 : n_axes + 1])
    if n_components > 1:
        header_checks.refuse_vector(path, n_components)
    n_found = dim[4] if n_axes >= 4 else 1
    if n_found != n_volumes:
        header_checks.refuse_4d(path, n_found)


def _check_scaling(header: NiftiHeader, path: Path) -> None:
    """Refuse a scaling that ITK reads otherwise than nifti1.h says (no slope means no scaling)."""
    slope, intercept = header.scl_slope, header.scl_inter
    if slope == 0 or not math.isfinite(slope):
        clear = intercept == 0 or not math.isfinite(intercept)
    else:
        clear = abs(slope) >= MIN_SLOPE and math.isfinite(intercept)
    if not clear:
        reason = (
            f"has the scl_slope {slope:g} and the scl_inter {intercept:g}, which programs read differently"
        )
        raise UserError(path, reason, "write it with scl_slope 1 and scl_inter 0")


def _check_position(header: NiftiHeader, path: Path) -> None:
    """Refuse an affine with NaN or infinity: ITK takes 0 instead, or never ends."""
    sform = [number for row in header.sform for number in row] if header.sform_code > 0 else []
    qform = header.qform if header.qform_code > 0 else ()
    if not all(map(math.isfinite, (*sform, *qform))):
        raise UserError(
            path, "has a position (qform or sform) that is no number", "correct its header, or write it anew"
        )


def _is_sheared(sform: tuple[tuple[float, ...], ...]) -> bool:
    axes = [tuple(row[column] for row in sform) for column in range(3)]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        product = math.hypot(*axes[i]) * math.hypot(*axes[j])
        cosine = sum(a * b for a, b in zip(axes[i], axes[j], strict=True)) / product if product else math.inf
        # not "greater", so that NaN counts as sheared
        if not abs(cosine) <= MAX_COSINE:
            return True
    return False
