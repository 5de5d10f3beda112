"""Small sound files, for the tests to break."""

from pathlib import Path

import numpy as np
import pytest
from small_volumes import STRAIGHT

from dd_nnunet.core.case import Geometry
from dd_nnunet.core.dataset import DatasetDescription
from dd_nnunet.core.errors import UserError
from dd_nnunet.storage.volume import write_image

VOXELS = (np.arange(4 * 5 * 6, dtype=np.int16) * 7 % 101).reshape(4, 5, 6)
ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd", ".tif", ".tiff", ".mrc", ".rec")


def geometry(
    size_xyz=(6, 5, 4), spacing_xyz_mm=(1.0, 2.0, 3.0), origin_xyz_mm=(10.0, 20.0, 30.0), direction=STRAIGHT
):
    return Geometry(size_xyz, spacing_xyz_mm, origin_xyz_mm, direction)


def write_voxels(path, array=VOXELS, **changes):
    z, y, x = array.shape
    write_image(path, array, geometry(size_xyz=(x, y, z), **changes))
    return path


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")


def description(channels=("MRI",), ending=".nii.gz"):
    return DatasetDescription(tuple(channels), ending, {}, (), ())


def error_of(call, *arguments):
    """The user error that a call ends with."""
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert caught.value.exit_code == 2
    return caught.value


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)
