"""What fuzzing has found in NIfTI, MRC and TIFF, each as its smallest input; what was wrong then stands beside it."""

import struct
import zlib

import pytest
from damaged_volumes import check_volume
from properties import bounded_memory, check_refusal
from refusals import changed, refused, refused_volume, tiff_entry
from sound_volumes import sound_mrcs, sound_niftis, sound_tiffs

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage.integrity import check_integrity
from dd_nnunet.storage.mrc_header import IMOD_STAMP
from dd_nnunet.storage.volume import read_geometry, read_volume


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("offset", [*range(256, 280, 4), *range(280, 328, 4)])
def test_a_position_that_is_no_number(tmp_path, offset, value):
    """ITK's reader of NIfTI never ended on an infinite sform, and took 0 for such a qform."""
    data = changed(sound_niftis()[1][1], (offset, "f", value))
    reason = refused_volume(tmp_path / "a.nii", data)
    assert reason == "has a position (qform or sform) that is no number"


@pytest.mark.parametrize(
    ("slope", "intercept"), [(0.0, 5.0), (float("nan"), 5.0), (1e-45, 0.0), (2.0, float("inf"))]
)
def test_a_scaling_that_programs_read_differently(tmp_path, slope, intercept):
    """ITK adds an intercept without a slope, takes a tiny slope for 1, and an infinite intercept for 0."""
    data = changed(sound_niftis()[1][1], (112, "f", slope), (116, "f", intercept))
    assert "which programs read differently" in refused_volume(tmp_path / "a.nii", data)


@pytest.mark.parametrize("slope", [float("nan"), float("inf"), 0.0, 1.0])
def test_no_slope_is_no_scaling(tmp_path, slope):
    """Nibabel writes NaN for no scaling."""
    data = changed(sound_niftis()[1][1], (112, "f", slope), (116, "f", 0.0 if slope == 1 else slope))
    assert check_volume(tmp_path, {"a.nii": data})


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.nii", changed(sound_niftis()[0][1], (80, "f", -1.0))),
        ("a.mrc", changed(sound_mrcs()[0][1], (40, "f", -4.0))),
    ],
)
def test_a_negative_spacing_is_positive_in_the_header_too(tmp_path, name, data):
    """The header alone gave the spacing as it stood there, negative."""
    assert check_volume(tmp_path, {name: data})


def test_signed_bytes_in_a_mrc(tmp_path):
    """They were read as unsigned without a word."""
    path, data = tmp_path / "a.mrc", sound_mrcs()[2][1]
    assert struct.unpack_from("<i", data, 12) == (0,)
    path.write_bytes(data)
    assert check_integrity(path) == ()
    path.write_bytes(data[:-1] + b"\x80")
    (warning,) = check_integrity(path)
    assert warning == f"{path}: its bytes (mode 0) are taken as 0 to 255, MRC2014 says -128 to 127"
    assert read_volume([path]).array.max() == 128
    path.write_bytes(changed(path.read_bytes(), (152, "i", IMOD_STAMP)))
    assert check_integrity(path) == ()
    path.write_bytes(changed(path.read_bytes(), (156, "i", 1)))
    assert refused(check_integrity, path) == "holds signed bytes, which SimpleITK takes as unsigned"


def test_turned_axes_in_a_mrc(tmp_path):
    """Found by reading the description: ITK passes the order of the axes over."""
    data = changed(sound_mrcs()[0][1], (64, "3i", 3, 2, 1))
    assert refused_volume(tmp_path / "a.mrc", data).startswith("has its axes in the order (3, 2, 1)")


def test_a_negative_extended_header(tmp_path):
    """ITK ran out of memory where it was asked for the header alone."""
    data = changed(sound_mrcs()[0][1], (92, "i", -1))
    assert refused_volume(tmp_path / "a.mrc", data) == "is no MRC file (its header is not one)"


@pytest.mark.parametrize("tag", [256, 257, 258, 259, 262, 277, 278])
@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.parametrize("number_type", [0, 2, 99])
def test_a_tiff_entry_of_an_odd_type(tmp_path, tag, page, number_type):
    """ITK gave the first page in the place of the second; tifffile raised errors of its own."""
    data = sound_tiffs()[0][1]
    data = changed(data, (tiff_entry(data, page, tag) + 2, "H", number_type))
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    refused(lambda file: read_volume([file]), path)


@pytest.mark.parametrize("number", [0, 2])
def test_a_tiff_page_that_holds_too_little(tmp_path, number):
    """Plain or packed: the missing rows were read as zeros."""
    _, data = sound_tiffs()[number]
    place = tiff_entry(data, 1, 279)
    if number == 0:
        data = changed(data, (place + 8, "I", 12))
    else:
        (start,) = struct.unpack_from("<I", data, tiff_entry(data, 1, 273) + 8)
        (length,) = struct.unpack_from("<I", data, place + 8)
        packed = zlib.compress(b"\1" * 6)
        data = changed(data[:start] + packed.ljust(length, b"\0") + data[start + length :])
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    assert "are expected" in refused(lambda file: read_volume([file]), path)


def test_a_tiff_page_that_unpacks_to_much(tmp_path):
    """All of it was unpacked into memory at once."""
    _, data = sound_tiffs()[2]
    bomb = zlib.compress(bytes(200 << 20), 1)
    data = changed(
        data + bomb,
        (tiff_entry(data, 1, 273) + 8, "I", len(data)),
        (tiff_entry(data, 1, 279) + 8, "I", len(bomb)),
    )
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    with bounded_memory(100 << 20):
        read_geometry(path)
        try:
            read_volume([path])
        except UserError as error:
            check_refusal(error)


@pytest.mark.parametrize("spacing", ["9" * 400, "9" * 5000, "1e999", "true", "0", "-1"])
def test_a_tiff_spacing_beyond_floats(tmp_path, spacing):
    (tmp_path / "a.tif").write_bytes(sound_tiffs()[0][1])
    (tmp_path / "a.json").write_text(f'{{"spacing": [1.0, {spacing}, 1.0]}}')
    refused(lambda file: read_volume([file]), tmp_path / "a.tif")
