"""One image file by SimpleITK: its header, its voxels, and where they lie."""

import contextlib
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK

from dd_nnunet.core.case import Geometry
from dd_nnunet.core.errors import UserError
from dd_nnunet.storage import header_checks
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.integrity import NIFTI_ENDINGS, tiff_sidecars, volume_ending

IMAGE_IO = {
    ".nii.gz": "NiftiImageIO",
    ".nii": "NiftiImageIO",
    ".nrrd": "NrrdImageIO",
    ".mha": "MetaImageIO",
    ".mhd": "MetaImageIO",
    ".tif": "TIFFImageIO",
    ".tiff": "TIFFImageIO",
    ".mrc": "MRCImageIO",
    ".rec": "MRCImageIO",
}
TIFF_ENDINGS = (".tif", ".tiff")
# more than rounding in the header
MAX_COSINE = 1e-3


@dataclass(frozen=True)
class Source:
    """Where a channel stands: a file, and which of its volumes if it is 4-D."""

    path: Path
    number: int | None = None


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn what ITK says into an error that names the file."""
    try:
        yield
    except RuntimeError as error:
        reason = last_line(error)
        if "orthonormal" in reason:
            header_checks.refuse_sheared(path)
        raise UserError(path, f"cannot be read ({reason})", header_checks.COPY_AGAIN) from None


def open_image(source: Source) -> Any:
    """A SimpleITK reader whose header is read and checked; `Execute` reads the voxels.

    Raises:
        UserError: not readable, 2-D, 4-D (unless the source says which volume), or components.
    """
    path = source.path
    # what is wrong we say ourselves, in one line
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(IMAGE_IO[volume_ending(path)])
    with _naming(path):
        reader.ReadImageInformation()
    size = reader.GetSize()
    if len(size) < 3:
        header_checks.refuse_2d(path)
    if math.prod(size[3:]) > 1 and source.number is None:
        header_checks.refuse_4d(path, math.prod(size[3:]))
    if reader.GetNumberOfComponents() > 1:
        header_checks.refuse_vector(path, reader.GetNumberOfComponents())
    # one volume is taken, further axes are dropped
    n_further = len(size) - 3
    reader.SetExtractSize([*size[:3], *([0] * n_further)])
    reader.SetExtractIndex([0, 0, 0, *([source.number or 0] + [0] * n_further)[:n_further]])
    return reader


def read_image(source: Source) -> Any:
    """A SimpleITK image of one volume.

    Raises:
        UserError: as `open_image`.
    """
    reader = open_image(source)
    with _naming(source.path):
        return reader.Execute()


def geometry_of(image: Any, path: Path) -> Geometry:
    """Where the voxels of an image, or of a reader that has read the header, lie.

    Raises:
        UserError: a sheared grid, a position that is no number, or a wrong spacing beside a TIFF.
    """
    n_axes = image.GetDimension()
    spacing = _floats(image.GetSpacing()[:3])
    origin = _floats(image.GetOrigin()[:3])
    if volume_ending(path) in TIFF_ENDINGS:
        # its resolution tags are for print, and it has none for the third axis
        spacing = tiff_spacing_xyz_mm(path) or (1.0, 1.0, 1.0)
    x, y, z = image.GetSize()[:3]
    direction = np.reshape(image.GetDirection(), (n_axes, n_axes))[:3, :3]
    header_checks.check_spacing(path, spacing)
    if not np.isfinite(origin).all():
        raise UserError(path, f"has the origin {origin}, numbers are expected", "correct its header")
    # a reader that has only read the header still says the negative spacing that ITK then turns over
    direction, spacing = direction * np.sign(spacing), _floats([abs(length) for length in spacing])
    # not "greater", so that NaN counts as sheared
    if not np.abs(direction.T @ direction - np.eye(3)).max() <= MAX_COSINE:
        header_checks.refuse_sheared(path)
    return Geometry((x, y, z), spacing, origin, tuple(map(float, direction.ravel())))  # type: ignore[arg-type]


def states_orientation(image: Any, path: Path) -> bool:
    """Whether a file says how its axes lie in the body.

    TIFF and MRC cannot, NIfTI may leave both its qform and its sform unknown (code 0), NRRD may name no space.
    """
    ending = volume_ending(path)
    if ending in NIFTI_ENDINGS:
        codes = [image.GetMetaData(key) for key in ("qform_code", "sform_code") if image.HasMetaDataKey(key)]
        return not codes or any(int(code) > 0 for code in codes)
    if ending == ".nrrd":
        return bool(image.HasMetaDataKey("NRRD_space"))
    return ending in (".mha", ".mhd")


def _floats(values: Sequence[float]) -> tuple[float, float, float]:
    x, y, z = map(float, values)
    return (x, y, z)


def tiff_spacing_xyz_mm(path: Path) -> tuple[float, float, float] | None:
    """The spacing that stands beside a TIFF, or None.

    Raises:
        UserError: it is no list of three lengths.
    """
    for sidecar in tiff_sidecars(path):
        if sidecar.is_file():
            data = read_json(sidecar)
            spacing = data.get("spacing") if isinstance(data, dict) else None
            if not isinstance(spacing, list) or len(spacing) != 3 or not all(map(_is_length, spacing)):
                raise UserError(sidecar, f"$.spacing is {spacing!r}", 'expected {"spacing": [z, y, x]} in mm')
            return _floats(spacing[::-1])
    return None


def _is_length(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= sys.float_info.max


def last_line(error: RuntimeError) -> str:
    """What went wrong in ITK, without the place in its source."""
    return str(error).strip().splitlines()[-1].strip()
