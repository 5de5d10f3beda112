"""F01: a truncated .nii.gz is an error with the bytes expected and found, and nothing is planned."""

import gzip

import pytest
from fault_files import VOXELS, error_of, write_voxels
from planned import make_faulty
from small_volumes import cells

from dd_nnunet.storage.integrity import check_integrity
from dd_nnunet.storage.volume import read_volume

EXPECTED_BYTES = 352 + 2 * VOXELS.size


def test_every_prefix_is_refused(tmp_path):
    path = write_voxels(tmp_path / "case_0000.nii.gz")
    whole = path.read_bytes()
    check_integrity(path)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert error_of(check_integrity, path).where == str(path)


def test_the_error_says_how_many_bytes_are_missing(tmp_path):
    path = write_voxels(tmp_path / "case_0000.nii.gz")
    path.write_bytes(path.read_bytes()[:-30])
    error = error_of(read_volume, [path])
    assert error.reason.startswith(f"is cut off ({EXPECTED_BYTES} bytes expected, ")
    assert error.reason.endswith(" found)")


@pytest.mark.parametrize("n_found", [352, 400, EXPECTED_BYTES - 1])
def test_a_sound_gzip_of_a_short_file_is_refused(tmp_path, n_found):
    plain = write_voxels(tmp_path / "whole.nii").read_bytes()
    path = tmp_path / "case_0000.nii.gz"
    path.write_bytes(gzip.compress(plain[:n_found]))
    assert (
        error_of(check_integrity, path).reason
        == f"is cut off ({EXPECTED_BYTES} bytes expected, {n_found} found)"
    )


def test_nothing_is_planned(tmp_path, capsys):
    dataset = make_faulty(tmp_path, cells(2))
    path = dataset.raw / "imagesTr" / "cell_1_0000.nii.gz"
    path.write_bytes(path.read_bytes()[:-50])
    assert dataset.run() == 2
    assert f"{path}: is cut off" in capsys.readouterr().err
    assert dataset.written == []
