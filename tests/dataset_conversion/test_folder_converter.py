"""dd_convert_folder: any folder of volumes becomes a raw dataset, or is refused as a whole."""

import hashlib
import math

import numpy as np
import pytest
import SimpleITK
from small_volumes import straight_grid

from dd_nnunet.commands import convert
from dd_nnunet.core.case import Geometry
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.raw_dataset import find_cases, load_description
from dd_nnunet.storage.volume import read_label_map, read_volume, write_image, write_labels

SIN, COS = math.sin(0.3), math.cos(0.3)
# anisotropic, shifted and turned about z
TILTED = Geometry((5, 4, 3), (0.5, 0.75, 3.0), (10.0, -20.0, 7.5), (COS, -SIN, 0, SIN, COS, 0, 0, 0, 1.0))
PLAIN = straight_grid((3, 4, 5))
VOXELS = np.arange(60).reshape(3, 4, 5)


@pytest.fixture
def paths(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in", tmp_path / "raw"


def run(paths, *flags):
    source, raw = paths
    shared = ["--raw", str(raw), "--no_pbar"]
    return convert.main_folder(["-i", str(source), "-d", "8", "-n", "Mixed", *shared, *map(str, flags)])


def result(paths):
    folder = paths[1] / "Dataset008_Mixed"
    description = load_description(folder)
    cases = find_cases(folder / "imagesTr", description)
    return folder, description, {case.case_id: read_volume(case.channel_files) for case in cases}


def assert_same_grid(found, expected):
    assert found.size_xyz == expected.size_xyz
    for name in ("spacing_xyz_mm", "origin_xyz_mm", "direction"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-6)


def test_mixed_endings_keep_voxels_types_and_anisotropic_grids(paths):
    endings = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
    for number, ending in enumerate(endings):
        write_image(paths[0] / f"case{number}{ending}", (VOXELS * number - 7).astype(np.int16), TILTED)
    assert run(paths) == 0
    _, description, volumes = result(paths)
    assert description.channel_names == ("image",)
    assert description.labels == {}
    assert description.n_training_stated == 5
    assert list(volumes) == ["case0", "case1", "case2", "case3", "case4"]
    for number, volume in enumerate(volumes.values()):
        np.testing.assert_array_equal(volume.array[0], VOXELS * number - 7)
        assert volume.source_dtypes == ("int16",)
        assert_same_grid(volume.geometry, TILTED)


def test_large_and_broken_numbers_become_float32(paths):
    write_image(paths[0] / "a.nrrd", VOXELS.astype(np.float64) / 4, PLAIN)
    write_image(paths[0] / "b.nrrd", (VOXELS * 1000).astype(np.int32), PLAIN)
    assert run(paths) == 0
    _, _, volumes = result(paths)
    np.testing.assert_array_equal(volumes["a"].array[0], VOXELS / 4)
    np.testing.assert_array_equal(volumes["b"].array[0], VOXELS * 1000)
    assert [v.source_dtypes for v in volumes.values()] == [("float32",), ("float32",)]


def test_channels(paths):
    for case in ("a", "b"):
        write_image(paths[0] / f"{case}_0000.nii.gz", VOXELS.astype(np.uint8), TILTED)
        write_image(paths[0] / f"{case}_0001.nrrd", (VOXELS / 8).astype(np.float32), TILTED)
    assert run(paths, "--channel_names", "light", "dark") == 0
    _, description, volumes = result(paths)
    assert description.channel_names == ("light", "dark")
    for volume in volumes.values():
        np.testing.assert_array_equal(volume.array, np.stack([VOXELS, VOXELS / 8]))
        assert volume.source_dtypes == ("uint8", "float32")


def test_channels_without_names_are_numbered(paths):
    for name in ("a_0000", "a_0001", "b_0000", "b_0001"):
        write_image(paths[0] / f"{name}.nii", VOXELS.astype(np.uint8), PLAIN)
    assert run(paths) == 0
    assert result(paths)[1].channel_names == ("channel_0", "channel_1")


def test_one_case_of_two_channels_or_two_cases_must_be_said(paths, capsys):
    for name in ("a_0000", "a_0001"):
        write_image(paths[0] / f"{name}.nii", VOXELS.astype(np.uint8), PLAIN)
    assert run(paths) == 2
    assert "may be 2 channels of one case or 2 cases" in capsys.readouterr().err
    assert run(paths, "--channel_names", "light") == 2
    assert "gives 1 name, the cases" in capsys.readouterr().err
    assert run(paths, "--one_channel") == 0
    assert list(result(paths)[2]) == ["a_0000", "a_0001"]
    assert run(paths, "--channel_names", "light", "dark", "--overwrite") == 0
    assert list(result(paths)[2]) == ["a"]


def test_names_are_mapped_and_hashed(paths):
    write_image(paths[0] / "Fall 1 (links).nrrd", VOXELS.astype(np.uint8), PLAIN)
    write_image(paths[0] / "plain.mhd", VOXELS.astype(np.uint8), PLAIN)
    assert run(paths) == 0
    folder, _, volumes = result(paths)
    assert list(volumes) == ["Fall_1__links_", "plain"]
    digest = hashlib.sha256((paths[0] / "Fall 1 (links).nrrd").read_bytes()).hexdigest()
    cases = read_json(folder / "conversion.json")["cases"]
    assert cases["Fall_1__links_"] == {
        "name": "Fall 1 (links)",
        "files": {"Fall 1 (links).nrrd": digest},
        "warnings": [],
    }


def test_detached_data_is_hashed_too(paths):
    image = SimpleITK.GetImageFromArray(VOXELS.astype(np.uint8))
    SimpleITK.WriteImage(image, str(paths[0] / "a.mhd"), False)
    assert run(paths) == 0
    folder, _, volumes = result(paths)
    np.testing.assert_array_equal(volumes["a"].array[0], VOXELS)
    assert list(read_json(folder / "conversion.json")["cases"]["a"]["files"]) == ["a.mhd", "a.raw"]


def spoil(paths):
    """Two good volumes, a cut-off one, an empty one, one with NaN."""
    source = paths[0]
    for name in ("good1", "good2", "cut", "nan"):
        voxels = VOXELS.astype(np.float32)
        voxels[0, 0, 0] = np.nan if name == "nan" else 0
        write_image(source / f"{name}.nii.gz", voxels, PLAIN)
    whole = (source / "cut.nii.gz").read_bytes()
    (source / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    (source / "empty.nrrd").touch()


def test_all_bad_files_are_listed_and_nothing_is_written(paths, capsys):
    spoil(paths)
    assert run(paths) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[2].split("/")[-1] for line in lines] == [
        "cut.nii.gz",
        "empty.nrrd",
        "nan.nii.gz",
    ]
    assert list(paths[1].iterdir()) == []


def test_bad_files_are_left_out_on_demand(paths, capsys):
    spoil(paths)
    assert run(paths, "--skip_bad") == 3
    assert "3 cases were left out" in capsys.readouterr().err
    folder, description, volumes = result(paths)
    assert list(volumes) == ["good1", "good2"]
    assert description.n_training_stated == 2
    left_out = read_json(folder / "conversion.json")["left_out"]
    assert [line.split(":")[0].split("/")[-1] for line in left_out] == [
        "cut.nii.gz",
        "empty.nrrd",
        "nan.nii.gz",
    ]


def test_where_all_are_bad_nothing_is_left_out(paths, capsys):
    (paths[0] / "empty.nrrd").touch()
    assert run(paths, "--skip_bad") == 2
    assert "empty.nrrd: is empty" in capsys.readouterr().err
    assert list(paths[1].iterdir()) == []


def test_labels(paths, tmp_path):
    for case in ("a", "b", "c"):
        write_image(paths[0] / f"{case}_0000.nrrd", VOXELS.astype(np.uint8), TILTED)
    labels = (VOXELS // 20 * 3).astype(np.uint8)  # 0, 3, 6
    write_labels(tmp_path / "labels/a.nii.gz", labels, TILTED)
    write_labels(tmp_path / "labels/b.mha", labels // 3, TILTED)
    assert run(paths, "--labels", tmp_path / "labels") == 0
    folder, description, _ = result(paths)
    assert description.labels == {"background": 0, "label_1": 1, "label_2": 2, "label_3": 3, "label_6": 6}
    assert sorted(path.name for path in (folder / "labelsTr").iterdir()) == ["a.nii.gz", "b.nii.gz"]
    for case, expected in (("a", labels), ("b", labels // 3)):
        found, geometry = read_label_map(folder / f"labelsTr/{case}.nii.gz")
        np.testing.assert_array_equal(found, expected)
        assert_same_grid(geometry, TILTED)
    assert list(read_json(folder / "conversion.json")["cases"]["b"]["labels"]) == ["b.mha"]


def test_bad_labels_are_bad_cases(paths, tmp_path, capsys):
    for case in ("far", "negative", "fraction", "fine"):
        write_image(paths[0] / f"{case}.nii", VOXELS.astype(np.uint8), PLAIN)
    folder = tmp_path / "labels"
    write_image(folder / "far.nii", VOXELS.astype(np.uint8), TILTED)
    write_image(folder / "negative.nii", (VOXELS - 1).astype(np.int16), PLAIN)
    write_image(folder / "fraction.nii", (VOXELS / 2).astype(np.float32), PLAIN)
    write_image(folder / "fine.nii", VOXELS.astype(np.float32), PLAIN)
    assert run(paths, "--labels", folder, "--skip_bad") == 3
    assert list(result(paths)[2]) == ["fine"]
    left_out = " ".join(read_json(paths[1] / "Dataset008_Mixed/conversion.json")["left_out"])
    for reason in ("far.nii: has the spacing", "labels from -1 to 58", "holds numbers that are not whole"):
        assert reason in left_out


def test_tiff_spacing_by_flag(paths, capsys):
    write_image(paths[0] / "a.tif", VOXELS.astype(np.uint8), PLAIN)
    (paths[0] / "a.json").unlink()
    write_image(paths[0] / "b.nrrd", VOXELS.astype(np.uint8), TILTED)
    assert run(paths, "--spacing_zyx_mm", "2", "0.5", "0.25") == 0
    assert "no spacing" not in capsys.readouterr().out
    folder, _, volumes = result(paths)
    np.testing.assert_allclose(volumes["a"].geometry.spacing_zyx_mm, (2.0, 0.5, 0.25))
    assert_same_grid(volumes["b"].geometry, TILTED)
    assert read_json(folder / "conversion.json")["cases"]["a"]["warnings"] == []


def test_the_spacing_flag_goes_before_what_stands_beside_a_tiff(paths, capsys):
    write_image(paths[0] / "a.tif", VOXELS.astype(np.uint8), PLAIN)
    (paths[0] / "a.json").write_text('{"spacing": [4, 3.5, 2]}')
    assert run(paths, "--spacing_zyx_mm", "2", "0.5", "0.25") == 0
    said = f"{paths[0] / 'a.tif'}: the spacing beside it, 4, 3.5, 2 mm, gives way to --spacing_zyx_mm"
    assert said in capsys.readouterr().out
    folder, _, volumes = result(paths)
    np.testing.assert_allclose(volumes["a"].geometry.spacing_zyx_mm, (2.0, 0.5, 0.25))
    assert read_json(folder / "conversion.json")["cases"]["a"]["warnings"] == [said]
    assert run(paths, "--spacing_zyx_mm", "4", "3.5", "2", "--overwrite") == 0
    assert "gives way" not in capsys.readouterr().out


def test_tiff_without_spacing_is_noted(paths, capsys):
    write_image(paths[0] / "a.tif", VOXELS.astype(np.uint8), PLAIN)
    (paths[0] / "a.json").unlink()
    assert run(paths) == 0
    said = capsys.readouterr().out
    assert "no spacing stands beside it, 1 mm is taken (its tags are not read)" in said
    assert said.count("--spacing_zyx_mm Z Y X gives a spacing to all TIFF files at once") == 1
    folder, _, volumes = result(paths)
    assert volumes["a"].geometry.spacing_zyx_mm == (1.0, 1.0, 1.0)
    assert len(read_json(folder / "conversion.json")["cases"]["a"]["warnings"]) == 1


def test_the_spacing_flag_is_for_tiff(paths, capsys):
    write_image(paths[0] / "a.nrrd", VOXELS.astype(np.uint8), PLAIN)
    assert run(paths, "--spacing_zyx_mm", "1", "1", "1") == 2
    assert "is for TIFF files" in capsys.readouterr().err
    (paths[0] / "a.nrrd").unlink()
    write_image(paths[0] / "a.tif", VOXELS.astype(np.uint8), PLAIN)
    assert run(paths, "--spacing_zyx_mm", "1", "0", "1") == 2
    assert "give three numbers above 0" in capsys.readouterr().err


def test_the_unit_of_mrc_is_noted(paths, capsys):
    write_image(paths[0] / "a.mrc", VOXELS.astype(np.float32), PLAIN)
    assert run(paths) == 0
    assert "ångström" in capsys.readouterr().out
    np.testing.assert_array_equal(result(paths)[2]["a"].array[0], VOXELS)


def test_the_source_is_never_written(paths, capsys):
    raw = paths[1]
    images = raw / "Dataset008_Mixed/imagesTr"
    images.mkdir(parents=True)
    write_image(images / "a_0000.nii.gz", VOXELS.astype(np.uint8), PLAIN)
    assert run((images, raw), "--overwrite") == 2
    assert "lies in the dataset to be made" in capsys.readouterr().err
    assert (images / "a_0000.nii.gz").exists()
