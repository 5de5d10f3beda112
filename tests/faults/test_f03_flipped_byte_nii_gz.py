"""F03: one flipped byte in a .nii.gz is found by its checksum."""

from fault_files import error_of, flip, write_voxels

from dd_nnunet.storage.integrity import check_integrity
from dd_nnunet.storage.volume import read_volume

GZIP_HEADER_BYTES = 10


def test_every_flipped_byte_is_found(tmp_path):
    path = write_voxels(tmp_path / "case_0000.nii.gz")
    for position in range(GZIP_HEADER_BYTES, path.stat().st_size):
        flip(path, position)
        assert error_of(check_integrity, path).where == str(path)
        flip(path, position)
    check_integrity(path)


def test_the_error_names_the_checksum(tmp_path):
    path = write_voxels(tmp_path / "case_0000.nii.gz")
    flip(path, path.stat().st_size - 6)
    assert error_of(read_volume, [path]).reason.startswith("is damaged: its checksum is wrong")
