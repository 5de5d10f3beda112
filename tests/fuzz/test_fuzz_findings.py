"""What fuzzing has found, each as the smallest input that showed it; what was wrong then stands beside it."""

import struct
import zlib

import numpy as np
import pytest
from properties import bounded_memory, check_refusal
from small_dataset import DESCRIPTION, make_plan
from sound_volumes import ARRAY, META, NRRD, sound_mrcs, sound_niftis, sound_tiffs
from targets import check_volume, json_of, label_file

from dd_nnunet.core.dataset import describe_dataset
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.plan import Plan
from dd_nnunet.evaluation.folder import evaluate_folder
from dd_nnunet.storage.atomic import read_record
from dd_nnunet.storage.integrity import check_integrity
from dd_nnunet.storage.mrc_header import IMOD_STAMP
from dd_nnunet.storage.volume import read_geometry, read_label_map, read_volume

SHORT = ARRAY.astype("<i2").tobytes()
META_SHORT = META.format(packed=False, kind="MET_SHORT", file="LOCAL")
NRRD_SHORT = NRRD.format(kind="short", endian="little", encoding="raw")


def refused(call, path):
    with pytest.raises(UserError) as caught:
        call(path)
    check_refusal(caught.value)
    return caught.value.reason


def refused_volume(path, content):
    """The reason, which reading the header alone gives as well: ITK is not even shown it."""
    path.write_bytes(content)
    reason = refused(lambda file: read_volume([file]), path)
    assert refused(read_geometry, path) == reason
    return reason


def changed(data, *changes):
    """Bytes with numbers put in: (offset, struct code, values)."""
    result = bytearray(data)
    for offset, code, *values in changes:
        struct.pack_into(f"<{code}", result, offset, *values)
    return bytes(result)


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


def test_a_negative_number_of_axes(tmp_path):
    """MetaIO crashed, even where it was asked for the header alone."""
    head = META_SHORT.replace("NDims = 3", "NDims = -1")
    assert "DimSize: '4 3 2'" in refused_volume(tmp_path / "a.mha", head.encode() + SHORT)


def test_packed_data_without_its_size(tmp_path):
    """MetaIO printed "Uncompress failed", and the image held what the memory had held before."""
    head = META.format(packed=True, kind="MET_SHORT", file="LOCAL")
    reason = refused_volume(tmp_path / "a.mha", head.encode() + zlib.compress(SHORT))
    assert reason == "lacks CompressedDataSize, so that ITK cannot unpack it"


@pytest.mark.parametrize("change", [-1, 1])
def test_packed_data_of_another_size(tmp_path, change):
    packed = zlib.compress(SHORT)
    path = tmp_path / "a.mha"
    size = f"True\nCompressedDataSize = {len(packed) + change}"
    path.write_bytes(META.format(packed=size, kind="MET_SHORT", file="LOCAL").encode() + packed)
    reason = refused(lambda file: read_volume([file]), path)
    assert reason == f"says CompressedDataSize {len(packed) + change}, but {len(packed)} bytes follow"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("ObjectType = Image", "ObjectType =", "its header says nothing behind ObjectType"),
        ("DimSize = 4 3 2", "DimSize = 4 3 2\nDimSize = 1 1 1", "its header says DimSize twice"),
        ("DimSize = 4 3 2", "DimSize = 4 3 2 1", "its header says DimSize: '4 3 2 1', 3 numbers are expected"),
        ("DimSize = 4 3 2", "DimSize = 4 3 1_2", "its header says DimSize: '4 3 1_2'"),
        ("DimSize = 4 3 2", "DimSize = 4 3 ٢", "its header says DimSize: '4 3 ٢'"),
        ("Offset = 1 2 3", "Offset = 1 2", "its header says Offset: '1 2', 3 numbers are expected"),
        ("Offset = 1 2 3", "Offset = 1 nan 3", "its header says Offset: '1 nan 3', 3 numbers are expected"),
        ("CenterOfRotation = 0 0 0", "HeaderSize = 4", "has the HeaderSize 4"),
        ("CenterOfRotation = 0 0 0", "HeaderSize = 4 4", "its header says HeaderSize: '4 4', 1 number is expected"),
        ("ObjectType = Image", "Object\x1b[31m = Image", "is no MetaImage file (its header is not one)"),
    ],
)  # fmt: skip
def test_meta_headers_that_metaio_reads_in_its_own_way(tmp_path, old, new, reason):
    """Where a value is missing it reads on in the next line; of doubled ones it takes another one than we did."""
    assert old in META_SHORT
    head = META_SHORT.replace(old, new)
    assert refused_volume(tmp_path / "a.mha", head.encode() + SHORT) == reason


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("encoding: raw", "encoding: raw\r\r", "is no NRRD file (its header is not one)"),
        ("kinds:", "line skip: \nkinds:", "its header says lineskip: ''"),
        ("kinds:", "line skip: x\nkinds:", "its header says lineskip: 'x'"),
        ("kinds:", "lineskip: 1\nkinds:", "has the encoding 'raw'"),
        ("kinds:", "byte skip: 1 1\nkinds:", "its header says byteskip: '1 1', 1 number is expected"),
        ("kinds:", "sizes: 1 1 1\nkinds:", "its header says sizes twice"),
        ("type: short", "type: \x1b", "is no NRRD file (its header is not one)"),
    ],
)
def test_nrrd_headers_that_ended_in_errors_of_ours(tmp_path, old, new, reason):
    """A lone carriage return ended the header, and the rest of it was read as voxels; others were tracebacks."""
    assert old in NRRD_SHORT
    content = f"{NRRD_SHORT.replace(old, new)}\n".encode() + SHORT
    assert refused_volume(tmp_path / "a.nrrd", content) == reason


@pytest.mark.parametrize("n_digits", [10, 4000, 5000])
def test_sizes_of_many_digits(tmp_path, n_digits):
    """ITK crashed, and Python does not print such numbers: a traceback instead of an error."""
    head = NRRD_SHORT.replace("sizes: 4 3 2", f"sizes: {'9' * n_digits} 9 9")
    reason = "its header" if n_digits > 1000 else "has the sizes"
    assert reason in refused_volume(tmp_path / "a.nrrd", f"{head}\n".encode() + SHORT)


def test_a_data_file_with_a_long_name(tmp_path):
    path = tmp_path / "a.mhd"
    path.write_text(META.format(packed=False, kind="MET_SHORT", file="x" * 300))
    assert "does not exist" in refused(lambda file: read_volume([file]), path)


def test_a_data_file_with_an_umlaut(tmp_path):
    """Its name was read as latin-1 and not found."""
    head = META.format(packed=False, kind="MET_SHORT", file="Fälle.raw").encode()
    assert check_volume(tmp_path, {"a.mhd": head, "Fälle.raw": SHORT})


@pytest.mark.parametrize("name", ["centerings", "space units", "content", "x" * 3000])
def test_a_long_field_of_a_nrrd(tmp_path, name):
    """Teem crashed from 1025 characters on, whatever the field."""
    content = f"{NRRD_SHORT}{name}: {'9' * 1500}\n\n".encode() + SHORT
    assert refused_volume(tmp_path / "a.nrrd", content).startswith("its header has a field of ")


@pytest.mark.parametrize("line", [f"key:={'x' * 5000}", f"# {'x' * 5000}"])
def test_long_remarks_in_a_nrrd(tmp_path, line):
    """3D Slicer writes such."""
    assert check_volume(tmp_path, {"a.nrrd": f"{NRRD_SHORT}{line}\n\n".encode() + SHORT})


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


def tiff_entry(data, page, tag):
    """The place of an entry of a page of a little-endian TIFF."""
    (start,) = struct.unpack_from("<I", data, 4)
    for _ in range(page):
        (n_entries,) = struct.unpack_from("<H", data, start)
        (start,) = struct.unpack_from("<I", data, start + 2 + 12 * n_entries)
    (n_entries,) = struct.unpack_from("<H", data, start)
    places = range(start + 2, start + 2 + 12 * n_entries, 12)
    return next(place for place in places if struct.unpack_from("<H", data, place) == (tag,))


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


@pytest.mark.parametrize("value", [1e20, np.inf, -np.inf, np.nan, 2.0**31, 0.5])
def test_labels_that_are_no_labels(tmp_path, value):
    """What is too large for 32 bits wrapped around, infinity too."""
    array = np.full((2, 3, 4), value, "<f8")
    path = tmp_path / "a.nrrd"
    path.write_bytes(label_file(".nrrd", "double", array, "1 1 1"))
    assert refused(read_label_map, path) == "holds numbers that are not whole, or too large"


def test_a_part_with_a_huge_number(tmp_path):
    """A table of as many rows was made for it."""
    for name, value in (("truth", 1), ("out", 2**31 - 1)):
        (tmp_path / name).mkdir()
        data = label_file(".nrrd", "int", np.full((2, 3, 4), value, "<i4"), "1 1 1")
        (tmp_path / name / "a.nrrd").write_bytes(data)
    description = describe_dataset({**DESCRIPTION, "file_ending": ".nrrd"}, "dataset.json")
    with bounded_memory(300 << 20), pytest.raises(UserError, match=r"part number 2147483647; .*0 to 65535"):
        evaluate_folder(tmp_path / "out", tmp_path / "truth", description, 1)


@pytest.mark.parametrize(
    ("old", "new"),
    [('"strides_zyx": [\n          [\n            2', '"strides_zyx": [\n          [\n            0'),
     ('"patch_size_zyx": [\n        12', '"patch_size_zyx": [\n        -12')],
)  # fmt: skip
def test_a_plan_with_lengths_below_1(tmp_path, old, new):
    """A stride of 0 was divided by."""
    text = json_of(make_plan())
    assert old in text
    path = tmp_path / "ddPlans.json"
    path.write_text(text.replace(old, new))
    assert "at least 1" in refused(lambda file: read_record(Plan, file), path)


@pytest.mark.parametrize(
    "content", ["9" * 5000, "9" * 400, "1e999", '"\\ud800"', f'"{"x" * 5000}"', '"\\u001b"']
)
def test_json_values_that_broke_the_error(tmp_path, content):
    """Tracebacks, lines of thousands of characters, codes that steer a terminal."""
    text = json_of(make_plan()).replace('"learning_rate": 0.0001', f'"learning_rate": {content}', 1)
    path = tmp_path / "ddPlans.json"
    path.write_text(text)
    refused(lambda file: read_record(Plan, file), path)
