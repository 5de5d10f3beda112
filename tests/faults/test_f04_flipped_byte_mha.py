"""F04: one flipped byte in a compressed .mha, .mhd or .nrrd is found by its checksum."""

import numpy as np
import pytest
from fault_files import VOXELS, error_of, flip, write_voxels

from dd_nnunet.storage.integrity import check_integrity
from dd_nnunet.storage.volume import read_volume


def data_start(path):
    whole = path.read_bytes()
    return whole.index(b"\n\n") + 2 if path.suffix == ".nrrd" else whole.index(b"LOCAL\n") + 6


@pytest.mark.parametrize("ending", [".mha", ".mhd"])
def test_every_flipped_byte_of_the_zlib_stream_is_found(tmp_path, ending):
    path = write_voxels(tmp_path / f"case_0000{ending}")
    for position in range(data_start(path), path.stat().st_size):
        flip(path, position)
        assert error_of(check_integrity, path).where == str(path)
        flip(path, position)
    np.testing.assert_array_equal(read_volume([path]).array[0], VOXELS)


def test_a_wrong_adler_checksum_is_named(tmp_path):
    path = write_voxels(tmp_path / "case_0000.mha")
    flip(path, path.stat().st_size - 1)
    assert error_of(read_volume, [path]).reason.startswith("is damaged: its checksum is wrong")


def test_a_damaged_nrrd_is_found_as_well(tmp_path):
    path = write_voxels(tmp_path / "case_0000.nrrd")
    flip(path, path.stat().st_size - 6)
    assert error_of(read_volume, [path]).reason.startswith("is damaged: its checksum is wrong")


@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
def test_a_cut_off_stream_is_found(tmp_path, ending):
    path = write_voxels(tmp_path / f"case_0000{ending}")
    path.write_bytes(path.read_bytes()[:-20])
    assert error_of(read_volume, [path]).reason.startswith(f"is cut off ({2 * VOXELS.size} bytes expected, ")
