"""F05: empty files and random bytes are errors, and all bad files of a dataset are listed at once."""

import numpy as np
import pytest
from fault_files import ENDINGS, error_of, write_voxels
from planned import make_faulty
from small_volumes import cell

from dd_nnunet.storage.integrity import check_integrity
from dd_nnunet.storage.volume import read_volume

NAMES = {
    ".gz": "gzip",
    ".nii": "NIfTI",
    ".nrrd": "NRRD",
    ".mha": "MetaImage",
    ".mhd": "MetaImage",
    ".tif": "TIFF",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_empty_file(tmp_path, ending):
    path = tmp_path / f"case_0000{ending}"
    path.write_bytes(b"")
    error = error_of(check_integrity, path)
    assert (error.where, error.reason) == (str(path), "is empty (0 bytes)")


@pytest.mark.parametrize("ending", ENDINGS)
def test_random_bytes(tmp_path, ending):
    path = tmp_path / f"case_0000{ending}"
    path.write_bytes(np.random.default_rng(5).bytes(3000))
    error = error_of(check_integrity, path)
    assert error.where == str(path)
    assert NAMES.get(path.suffix, "") in error.reason


def test_a_missing_file(tmp_path):
    assert error_of(read_volume, [tmp_path / "case_0000.nrrd"]).reason == "does not exist"


def test_all_bad_files_are_listed_at_once(tmp_path):
    files = [tmp_path / f"case_000{channel}.nii.gz" for channel in range(3)]
    files[0].write_bytes(b"")
    write_voxels(files[1])
    files[2].write_bytes(b"no volume")
    first, second = error_of(read_volume, files).lines
    assert first.startswith(f"{files[0]}: is empty (0 bytes)")
    assert second.startswith(f"{files[2]}: is no gzip file")


def test_all_bad_cases_of_a_dataset_are_listed_at_once(tmp_path, capsys):
    """Those that their names give away beside those that are found on reading."""
    hole = cell(0)
    hole[0, 0, 0] = np.nan
    dataset = make_faulty(tmp_path, {"a": cell(0), "b": hole, "c": cell(1), "d": cell(2)})
    images = dataset.raw / "imagesTr"
    (images / "a_0000.nii.gz").write_bytes(b"")
    (images / "c_0000.nii.gz").write_bytes(b"no volume")
    (images / "nameless.nii.gz").write_bytes(b"")
    assert dataset.run() == 2
    first, second, third, fourth = capsys.readouterr().err.splitlines()
    assert f"{images}/nameless.nii.gz: has no channel number" in first
    assert f"{images}/a_0000.nii.gz: is empty (0 bytes)" in second
    assert f"{images}/b_0000.nii.gz: 1 of 4096 voxels are not finite" in third
    assert f"{images}/c_0000.nii.gz: is no gzip file" in fourth
    assert dataset.written == []
