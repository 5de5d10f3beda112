import json
import logging
import math
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
from small_volumes import straight_grid

from dd_nnunet.core.case import Geometry
from dd_nnunet.core.errors import DiskError, UserError
from dd_nnunet.storage import volume as volume_module
from dd_nnunet.storage.volume import (
    IMAGE_IO,
    read_geometry,
    read_label_map,
    read_volume,
    write_image,
    write_labels,
)

ARRAY = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
C, S = math.cos(0.3), math.sin(0.3)
STRAIGHT = straight_grid((4, 5, 6), (3.0, 2.0, 1.5), (1.0, 2.0, 3.0))
OBLIQUE = Geometry((6, 5, 4), (1.5, 2.0, 3.0), (-7.0, 8.0, 9.5), (C, -S, 0.0, S, C, 0.0, 0.0, 0.0, -1.0))
OBLIQUE_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")


@pytest.mark.parametrize("number_type", [np.uint8, np.int16, np.uint16, np.float32])
@pytest.mark.parametrize("ending", IMAGE_IO)
def test_round_trip_of_voxels(tmp_path, ending, number_type):
    path = tmp_path / f"case_0000{ending}"
    write_image(path, ARRAY.astype(number_type), STRAIGHT)
    volume = read_volume([path])
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array, ARRAY[None])
    assert volume.source_dtypes == (np.dtype(number_type).name,)
    assert volume.geometry.spacing_zyx_mm == (3.0, 2.0, 1.5)
    assert volume.warnings == ()


@pytest.mark.parametrize("ending", OBLIQUE_ENDINGS)
def test_round_trip_of_an_oblique_geometry(tmp_path, ending):
    path = tmp_path / f"case_0000{ending}"
    write_image(path, ARRAY, OBLIQUE)
    for geometry in (read_volume([path]).geometry, read_geometry(path)):
        assert geometry.size_xyz == OBLIQUE.size_xyz
        np.testing.assert_allclose(geometry.spacing_xyz_mm, OBLIQUE.spacing_xyz_mm, rtol=1e-6)
        np.testing.assert_allclose(geometry.origin_xyz_mm, OBLIQUE.origin_xyz_mm, rtol=1e-6)
        np.testing.assert_allclose(geometry.direction, OBLIQUE.direction, atol=1e-6)


@pytest.mark.parametrize("ending", IMAGE_IO)
def test_tiff_and_mrc_say_nothing_of_the_body(tmp_path, ending):
    path = tmp_path / f"case_0000{ending}"
    write_image(path, ARRAY, STRAIGHT)
    assert read_volume([path]).oriented == (ending in OBLIQUE_ENDINGS)


@pytest.mark.parametrize(("codes", "oriented"), [((0, 0), False), ((1, 0), True), ((0, 2), True)])
def test_a_nifti_says_something_of_the_body_where_one_of_its_codes_is_not_0(tmp_path, codes, oriented):
    path = tmp_path / "case_0000.nii"
    image = nibabel.Nifti1Image(ARRAY, None)
    image.header.set_qform(np.eye(4), codes[0])
    image.header.set_sform(np.eye(4), codes[1])
    nibabel.save(image, path)
    assert read_volume([path]).oriented is oriented


def test_a_nrrd_without_a_space_says_nothing_of_the_body(tmp_path):
    path = tmp_path / "case_0000.nrrd"
    header = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 6 5 4\nencoding: raw\n"
    for line, oriented in (
        ("spacings: 1 1 1\n", False),
        ("space: left-posterior-superior\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n", True),
    ):
        path.write_bytes((header + line + "\n").encode() + ARRAY.astype(np.uint8).tobytes())
        assert read_volume([path]).oriented is oriented


@pytest.mark.parametrize("ending", IMAGE_IO)
def test_writing_twice_gives_the_same_bytes(tmp_path, ending):
    contents = []
    for _ in range(2):
        write_image(tmp_path / f"a{ending}", ARRAY, STRAIGHT)
        contents.append((tmp_path / f"a{ending}").read_bytes())
    assert contents[0] == contents[1]


def test_axes_agree_with_nibabel(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    affine = np.diag([1.5, 2.0, 3.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(ARRAY.T, affine), tmp_path / "case_0000.nii.gz")
    volume = read_volume([tmp_path / "case_0000.nii.gz"])
    np.testing.assert_array_equal(volume.array[0], ARRAY)
    assert volume.geometry.spacing_zyx_mm == (3.0, 2.0, 1.5)


def test_rescaled_whole_numbers(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(ARRAY.T, np.eye(4))
    image.header.set_slope_inter(0.5, 10.0)
    nibabel.save(image, tmp_path / "case_0000.nii.gz")
    expected = nibabel.load(tmp_path / "case_0000.nii.gz").get_fdata().T
    np.testing.assert_allclose(read_volume([tmp_path / "case_0000.nii.gz"]).array[0], expected, rtol=1e-6)


def test_channels_are_stacked_in_order(tmp_path):
    files = [tmp_path / "case_0000.nrrd", tmp_path / "case_0001.nrrd"]
    write_image(files[0], ARRAY, STRAIGHT)
    write_image(files[1], ARRAY.astype(np.float32) + 0.5, STRAIGHT)
    volume = read_volume(files)
    np.testing.assert_array_equal(volume.array[0], ARRAY)
    np.testing.assert_array_equal(volume.array[1], ARRAY + 0.5)
    assert volume.source_dtypes == ("int16", "float32")


def test_one_slice_thick(tmp_path):
    geometry = straight_grid((1, 5, 6))
    for ending in (".nii.gz", ".nrrd", ".mha"):
        write_image(tmp_path / f"case_0000{ending}", ARRAY[:1], geometry)
        assert read_volume([tmp_path / f"case_0000{ending}"]).array.shape == (1, 1, 5, 6)


def test_a_tiff_without_spacing_gets_1_mm_and_a_warning(tmp_path, caplog):
    path = tmp_path / "case_0000.tif"
    write_image(path, ARRAY, STRAIGHT)
    (tmp_path / "case_0000.json").unlink()
    with caplog.at_level(logging.WARNING):
        volume = read_volume([path])
    assert volume.geometry.spacing_zyx_mm == (1.0, 1.0, 1.0)
    assert volume.warnings == (
        f"{path}: no spacing stands beside it, 1 mm is taken (its tags are not read); "
        'to say it write case.json: {"spacing": [z, y, x]}',
    )
    assert caplog.messages == list(volume.warnings)


@pytest.mark.parametrize("name", ["case.json", "case_0000.json"])
def test_a_tiffs_spacing_beside_it(tmp_path, name):
    path = tmp_path / "case_0000.tif"
    write_image(path, ARRAY, STRAIGHT)
    (tmp_path / "case_0000.json").unlink()
    (tmp_path / name).write_text(json.dumps({"spacing": [4, 3.5, 2]}), encoding="utf-8")
    assert read_volume([path]).geometry.spacing_zyx_mm == (4.0, 3.5, 2.0)


@pytest.mark.parametrize("spacing", [None, [1, 2], [1, 2, 0], [1, 2, "3"], {"z": 1}])
def test_a_wrong_tiff_spacing(tmp_path, spacing):
    path = tmp_path / "case_0000.tif"
    write_image(path, ARRAY, STRAIGHT)
    (tmp_path / "case_0000.json").write_text(json.dumps({"spacing": spacing}), encoding="utf-8")
    with pytest.raises(UserError, match=r"\$\.spacing is") as caught:
        read_volume([path])
    assert caught.value.where == str(tmp_path / "case_0000.json")


@pytest.mark.parametrize(
    ("highest", "number_type"), [(0, "uint8"), (255, "uint8"), (256, "uint16"), (65535, "uint16")]
)
def test_labels_take_the_smallest_type(tmp_path, highest, number_type):
    labels = np.zeros((4, 5, 6), np.int64)
    labels[3, 4, 5] = highest
    write_labels(tmp_path / "a.nii.gz", labels, STRAIGHT)
    back, geometry = read_label_map(tmp_path / "a.nii.gz")
    assert back.dtype == number_type
    np.testing.assert_array_equal(back, labels)
    assert geometry == STRAIGHT


def test_whole_floats_are_labels_and_others_are_not(tmp_path):
    write_image(tmp_path / "a.nii.gz", ARRAY.astype(np.float32), STRAIGHT)
    labels, _ = read_label_map(tmp_path / "a.nii.gz")
    assert labels.dtype.kind == "i"
    np.testing.assert_array_equal(labels, ARRAY)
    write_image(tmp_path / "b.nii.gz", ARRAY + np.float32(0.5), STRAIGHT)
    with pytest.raises(UserError, match="numbers that are not whole"):
        read_label_map(tmp_path / "b.nii.gz")


def test_a_type_that_the_format_cannot_hold(tmp_path):
    with pytest.raises(UserError, match="cannot be written as float64") as caught:
        write_image(tmp_path / "a.mrc", ARRAY.astype(np.float64), STRAIGHT)
    assert caught.value.where == str(tmp_path / "a.mrc")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_ending(tmp_path):
    with pytest.raises(UserError, match="has an unknown ending"):
        write_image(tmp_path / "a.png", ARRAY, STRAIGHT)
    with pytest.raises(UserError, match="has an unknown ending"):
        read_geometry(tmp_path / "a.png")


def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    write_image(tmp_path / "a.nrrd", ARRAY, STRAIGHT)
    old = (tmp_path / "a.nrrd").read_bytes()

    def fail(writer, image):
        raise RuntimeError("ITK ERROR: write failed")

    monkeypatch.setattr(volume_module.SimpleITK.ImageFileWriter, "Execute", fail)
    monkeypatch.setattr(volume_module.shutil, "disk_usage", lambda folder: SimpleNamespace(free=0))
    with pytest.raises(DiskError, match="no space left"):
        write_image(tmp_path / "a.nrrd", ARRAY + 1, STRAIGHT)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.nrrd"]
    assert (tmp_path / "a.nrrd").read_bytes() == old


def test_the_shared_datasets(request):
    """The real volumes beside the checkout, where they are at hand."""
    data = request.config.rootpath.parent / "shared" / "data"
    files = sorted(data.glob("Dataset*/imagesTr/*_0000.nii.gz"))
    if not files:
        pytest.skip("no shared datasets beside the checkout")
    for path in files[::8]:
        volume = read_volume([path])
        assert volume.array.shape == (1, *volume.geometry.shape_zyx)
        assert volume.geometry == read_geometry(path)
        assert volume.warnings == ()
