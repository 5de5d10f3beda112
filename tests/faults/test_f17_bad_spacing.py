"""F17: a spacing of zero or NaN in a header is an error, a negative one a warning that reaches the report."""

import gzip
import logging
import struct

import pytest
from fault_files import VOXELS, error_of, write_voxels
from planned import make_faulty
from small_volumes import cell

from dd_nnunet.storage.integrity import check_integrity
from dd_nnunet.storage.volume import read_volume

PIXDIM_Y = 84


def write_with_pixdim(path, value, array=VOXELS):
    packed = path.name.endswith(".gz")
    content = write_voxels(path, array).read_bytes()
    content = bytearray(gzip.decompress(content) if packed else content)
    struct.pack_into("<f", content, PIXDIM_Y, value)
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


@pytest.mark.parametrize(("value", "shown"), [(0.0, "0"), (float("nan"), "nan"), (float("inf"), "inf")])
def test_no_length_is_refused(tmp_path, value, shown):
    path = write_with_pixdim(tmp_path / "case_0000.nii", value)
    error = error_of(check_integrity, path)
    assert error.where == str(path)
    assert error.reason == f"has the spacing (1, {shown}, 3), numbers above 0 are expected"


def test_a_negative_length_is_warned_of(tmp_path, caplog):
    path = write_with_pixdim(tmp_path / "case_0000.nii", -2.0)
    with caplog.at_level(logging.WARNING):
        volume = read_volume([path])
    assert volume.geometry.spacing_zyx_mm == (3.0, 2.0, 1.0)
    assert f"{path}: has a negative spacing, its absolute value is taken" in caplog.messages


@pytest.mark.parametrize(
    ("ending", "sound", "broken"),
    [
        (".mha", b"ElementSpacing = 1 2 3", b"ElementSpacing = 1 0 3"),
        (".nrrd", b"(0,2,0)", b"(0,0,0)"),
    ],
)
def test_other_formats_too(tmp_path, ending, sound, broken):
    path = write_voxels(tmp_path / f"case_0000{ending}")
    content = path.read_bytes()
    assert sound in content
    path.write_bytes(content.replace(sound, broken))
    assert "numbers above 0 are expected" in error_of(check_integrity, path).reason


@pytest.mark.parametrize("n_processes", ["0", "1"])
def test_the_warning_reaches_the_report_from_any_process(tmp_path, capsys, n_processes):
    dataset = make_faulty(tmp_path, {})
    path = write_with_pixdim(dataset.raw / "imagesTr" / "a_0000.nii.gz", -2.0, cell(0))
    assert dataset.run("--no_pp", "-np", n_processes) == 0
    warning = f"{path}: has a negative spacing, its absolute value is taken"
    assert capsys.readouterr().out.count(warning) == 1
    assert warning in dataset.json("dataset_fingerprint.json")["warnings"]
