"""dd_convert_folder with DICOM: each evenly spaced series is a case; all others are refused with their places."""

import math

import numpy as np
import pytest
import SimpleITK
from dicom_files import VOXELS, write_series

from dd_nnunet.commands import convert
from dd_nnunet.core.case import Geometry
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.raw_dataset import find_cases, load_description
from dd_nnunet.storage.volume import read_label_map, read_volume, write_labels

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
GRID = Geometry((12, 16, 8), (0.5, 0.7, 2.5), (-10.0, -20.0, 5.0), IDENTITY)
# heads of entries, as they stand in the files: the tag, the length
SLOPE = b"\x28\x00\x53\x10\x02\x00\x00\x00"
POSITION, OTHER_TAG = b"\x20\x00\x32\x00", b"\x20\x00\x31\x00"
EVEN = [(-10.0, -20.0, 5.0 + 2.5 * k) for k in range(9)]


@pytest.fixture
def paths(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in", tmp_path / "raw"


def run(paths, *flags):
    shared = ["-i", str(paths[0]), "-d", "8", "-n", "Scans", "--raw", str(paths[1]), "--no_pbar"]
    return convert.main_folder([*shared, *map(str, flags)])


def result(paths):
    folder = paths[1] / "Dataset008_Scans"
    description = load_description(folder)
    cases = find_cases(folder / "imagesTr", description)
    return folder, description, {case.case_id: read_volume(case.channel_files) for case in cases}


def assert_same_grid(found, expected):
    assert found.size_xyz == expected.size_xyz
    for name in ("spacing_xyz_mm", "origin_xyz_mm", "direction"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-5)


def error_line(paths, capsys, *flags):
    assert run(paths, *flags) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert not any(paths[1].glob("*"))
    return line


def test_a_folder_per_case(paths, capsys):
    write_series(paths[0] / "case 1")
    write_series(paths[0] / "case2" / "study" / "series", VOXELS * 2)
    assert run(paths) == 0
    assert "dd_plan_and_preprocess -d 8 is next" in capsys.readouterr().out
    folder, description, volumes = result(paths)
    assert description.channel_names == ("CT",)
    assert list(volumes) == ["case2_study_series", "case_1"]
    for volume, voxels in zip(volumes.values(), (VOXELS * 2, VOXELS), strict=True):
        np.testing.assert_array_equal(volume.array[0], voxels)
        assert volume.source_dtypes == ("int16",)
        assert_same_grid(volume.geometry, GRID)
    entry = read_json(folder / "conversion.json")["cases"]["case_1"]
    assert entry["name"] == "case 1"
    assert next(iter(entry["files"])) == "s00.dcm"
    assert len(entry["files"]) == 8


def test_the_slices_of_one_case(paths):
    write_series(paths[0])
    assert run(paths) == 0
    assert list(result(paths)[2]) == ["in"]


def test_places_count_and_not_names(paths):
    """Written from top to bottom, and with the directions of a sagittal series."""
    write_series(paths[0] / "down", VOXELS[::-1], EVEN[7::-1])
    side = "\\".join(["0", "1", "0", "0", "0", "-1"])
    write_series(paths[0] / "side", places=[(-3.0 * k, 1.0, 2.0) for k in range(8)], t0020_0037=side)
    assert run(paths) == 0
    down, across = result(paths)[2].values()
    np.testing.assert_array_equal(down.array[0], VOXELS)
    assert_same_grid(down.geometry, GRID)
    np.testing.assert_array_equal(across.array[0], VOXELS)
    # rows run along y, columns down z, slices along -x
    direction = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
    assert_same_grid(across.geometry, Geometry((12, 16, 8), (0.5, 0.7, 3.0), (0.0, 1.0, 2.0), direction))


def test_values_are_rescaled(paths):
    """GDCM writes (value - intercept) / slope; the slope of two of the series is changed afterwards."""
    write_series(paths[0] / "hounsfield", t0028_1052="-1024", t0028_1053="1")
    for name, slope in (("steep", b"60"), ("halves", b".5")):
        write_series(paths[0] / name, VOXELS * 2, t0028_1052="0", t0028_1053="2")
        for path in (paths[0] / name).iterdir():
            patch(path, SLOPE + b"2 ", SLOPE + slope)
    stored = np.frombuffer((paths[0] / "hounsfield/s00.dcm").read_bytes()[-2 * 192 :], "<i2")
    np.testing.assert_array_equal(stored, VOXELS[0].ravel() + 1024)
    assert run(paths) == 0
    volumes = result(paths)[2]
    for name, expected, dtype in (
        ("hounsfield", VOXELS, "int16"),
        # to 50 100
        ("steep", VOXELS * 60.0, "float32"),
        ("halves", VOXELS / 2, "float32"),
    ):
        np.testing.assert_array_equal(volumes[name].array[0], expected)
        assert volumes[name].source_dtypes == (dtype,)


def patch(path, old, new):
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
def test_compressed_files(paths, compressor):
    write_series(paths[0] / "a", compressor=compressor)
    assert run(paths) == 0
    np.testing.assert_array_equal(result(paths)[2]["a"].array[0], VOXELS)


def test_no_patient_in_the_dataset(paths):
    write_series(paths[0] / "a")
    assert b"DOE^JOHN" in (paths[0] / "a/s00.dcm").read_bytes()
    assert run(paths) == 0
    for path in paths[1].rglob("*"):
        assert "DOE" not in path.name
        if path.suffix == ".json":
            assert "DOE" not in path.read_text()


def test_the_channel_is_called_like_the_modality(paths, capsys):
    write_series(paths[0] / "a", t0008_0060="MR")
    write_series(paths[0] / "b", t0008_0060="MR")
    assert run(paths) == 0
    assert result(paths)[1].channel_names == ("MR",)
    write_series(paths[0] / "c")
    assert run(paths, "--overwrite") == 2
    assert "have the modalities CT, MR" in capsys.readouterr().err
    assert run(paths, "--overwrite", "--channel_names", "scan") == 0
    assert result(paths)[1].channel_names == ("scan",)


def test_several_series_in_a_folder(paths, capsys):
    write_series(paths[0] / "a")
    for path in list((paths[0] / "a").iterdir()):
        path.rename(path.with_name(f"first_{path.name}"))
    write_series(paths[0] / "a", VOXELS[:4] + 1, EVEN[:4], t0020_000e="1.2.3.5", t0020_0011="12")
    line = error_line(paths, capsys)
    assert "a: holds 2 series: 3 (CT, 8 slices), 12 (CT, 4 slices)" in line
    assert "--every_series" in line
    assert run(paths, "--every_series") == 0
    volumes = result(paths)[2]
    assert {name: v.geometry.size_xyz[2] for name, v in volumes.items()} == {"a_12": 4, "a_3": 8}


def test_a_missing_slice(paths, capsys):
    write_series(paths[0] / "a")
    (paths[0] / "a/s03.dcm").unlink()
    assert (
        "its slices lie 2.5 mm apart, but 5 mm between slices 3 and 4 of 7 (s02.dcm, s04.dcm)"
        in error_line(paths, capsys)
    )


def test_uneven_slices(paths, capsys):
    places = list(EVEN[:8])
    places[5] = (-10.0, -20.0, places[5][2] + 0.1)
    write_series(paths[0] / "a", places=places)
    line = error_line(paths, capsys)
    assert "2.6 mm between slices 5 and 6 of 8 (s04.dcm, s05.dcm)" in line
    assert "2.4 mm between slices 6 and 7 of 8 (s05.dcm, s06.dcm)" in line


def test_rounded_places_are_even(paths):
    """2.5 mm, rounded to a hundredth of a millimetre in the headers."""
    places = [(-10.0, -20.0, round(5 + 2.503 * k, 2)) for k in range(8)]
    write_series(paths[0] / "a", places=places)
    assert run(paths) == 0
    spacing = result(paths)[2]["a"].geometry.spacing_xyz_mm
    assert math.isclose(spacing[2], (places[-1][2] - places[0][2]) / 7, rel_tol=1e-6)


def test_two_slices_at_one_place(paths, capsys):
    places = [*EVEN[:4], *EVEN[3:7]]
    write_series(paths[0] / "a", places=places)
    line = error_line(paths, capsys)
    assert "has several slices at one place: 0 mm between slices 4 and 5 of 8 (s03.dcm, s04.dcm)" in line
    assert "a folder of its own" in line


def test_a_tilted_gantry(paths, capsys):
    """Every slice 2.5 mm further on and 0.4 mm further back: atan(0.16) is 9.09°."""
    write_series(paths[0] / "a", places=[(-10.0, -20.0 + 0.4 * k, 2.5 * k) for k in range(8)])
    line = error_line(paths, capsys)
    assert "slice 8 of 8 (s07.dcm) by 2.8 mm: its grid is sheared (gantry tilt, 9.09°)" in line


def test_slices_that_differ(paths, capsys):
    write_series(paths[0] / "size")
    write_series(paths[0] / "size2", VOXELS[:1, :, :6], EVEN[8:])
    (paths[0] / "size2/s00.dcm").rename(paths[0] / "size/s08.dcm")
    (paths[0] / "size2").rmdir()
    assert "s08.dcm: has the size (6, 16), s00.dcm of the same series has (12, 16)" in error_line(
        paths, capsys
    )


def test_all_bad_series_at_once_or_left_out(paths, capsys):
    write_series(paths[0] / "cut")
    write_series(paths[0] / "one", VOXELS[:1], EVEN[:1])
    write_series(paths[0] / "placeless")
    for path in (paths[0] / "placeless").iterdir():
        patch(path, POSITION, OTHER_TAG)
    write_series(paths[0] / "sound")
    cut = paths[0] / "cut/s05.dcm"
    cut.write_bytes(cut.read_bytes()[:-100])
    (paths[0] / "sound/notes.txt").write_text("of no use")
    assert run(paths) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "cut/s05.dcm: cannot be read (ITK ERROR: GDCMImageIO" in lines[0]
    assert "one: holds a series of 1 slice," in lines[1]
    assert len(lines) == 2 + 8
    assert "placeless/s00.dcm: its place is not known: it has no ImagePositionPatient" in lines[2]
    assert list(paths[1].iterdir()) == []
    assert run(paths, "--skip_bad") == 3
    printed = capsys.readouterr()
    assert "1 file is no DICOM slice and is left out" in printed.out
    assert "3 cases were left out" in printed.err
    assert list(result(paths)[2]) == ["sound"]


def test_colour_and_several_frames(paths, capsys):
    for name, image in (
        ("colour", SimpleITK.GetImageFromArray(np.zeros((8, 8, 3), np.uint8), isVector=True)),
        ("frames", SimpleITK.GetImageFromArray(np.zeros((4, 8, 8), np.uint8))),
    ):
        (paths[0] / name).mkdir()
        SimpleITK.WriteImage(image, str(paths[0] / name / "a.dcm"))
    assert run(paths) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "a.dcm: has 3 components per voxel" in lines[0]
    assert "a.dcm: holds 4 frames in one file" in lines[1]


def test_labels(paths, tmp_path):
    write_series(paths[0] / "a")
    labels = (VOXELS > 0).astype(np.uint8)
    write_labels(tmp_path / "labels/a.nii.gz", labels, GRID)
    assert run(paths, "--labels", tmp_path / "labels") == 0
    found, geometry = read_label_map(paths[1] / "Dataset008_Scans/labelsTr/a.nii.gz")
    np.testing.assert_array_equal(found, labels)
    assert_same_grid(geometry, GRID)


def test_flags_that_do_not_fit(paths, capsys):
    write_series(paths[0] / "a")
    assert "--one_channel: is for volumes in files" in error_line(paths, capsys, "--one_channel")
    assert "is for TIFF files" in error_line(paths, capsys, "--spacing_zyx_mm", 1, 1, 1)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(VOXELS), str(paths[0] / "b.nii.gz"))
    assert "--every_series: is for DICOM series" in error_line(paths, capsys, "--every_series")


def test_two_series_of_one_number_or_name(paths, capsys):
    """Two series 3 in a folder, taken each: their names would be one."""
    write_series(paths[0] / "a")
    for path in list((paths[0] / "a").iterdir()):
        path.rename(path.with_name(f"first_{path.name}"))
    write_series(paths[0] / "a", t0020_000e="1.2.3.5")
    write_series(paths[0] / "b" / "c")
    write_series(paths[0] / "b_c")
    assert run(paths, "--every_series") == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ", 3)[3].split(",")[0] for line in lines] == [
        "gives the name a_3",
        "gives the name b_c",
    ]
