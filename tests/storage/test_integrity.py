"""What the formats allow beyond what we write ourselves; the faults stand in tests/faults."""

import gzip
import struct
import zlib

import numpy as np
import pytest
import SimpleITK

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage.inflate import GZIP_ONLY, GZIP_OR_ZLIB, PIECE_BYTES, count_inflated
from dd_nnunet.storage.integrity import check_integrity, parts_of, tiff_sidecars, volume_ending
from dd_nnunet.storage.volume import read_volume

ARRAY = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
META = "ObjectType = Image\nNDims = 3\nDimSize = 6 5 4\nElementSpacing = 1 2 3\nElementType = MET_SHORT\n"
NRRD = (
    "NRRD0004\n# a comment\ntype: short\ndimension: 3\nsizes: 6 5 4\nspacings: 1 2 3\n"
    "endian: little\nmy key:=value\n"
)


def refused(path):
    with pytest.raises(UserError) as caught:
        check_integrity(path)
    assert caught.value.where == str(path)
    return caught.value.reason


def test_inflate_counts_over_many_pieces(tmp_path):
    content = bytes(3 * PIECE_BYTES + 5)
    cases = {
        gzip.compress(content): (GZIP_ONLY, (len(content), "")),
        zlib.compress(content): (GZIP_OR_ZLIB, (len(content), "")),
        gzip.compress(content) + gzip.compress(b"more"): (GZIP_ONLY, (len(content) + 4, "")),
        gzip.compress(b"four") + bytes(512): (GZIP_ONLY, (4, "")),
        b"": (GZIP_ONLY, (0, "is cut off")),
    }
    for number, (packed, (window, expected)) in enumerate(cases.items()):
        path = tmp_path / str(number)
        path.write_bytes(packed)
        with path.open("rb") as stream:
            assert count_inflated(stream, window) == expected


def test_nifti_in_several_gzip_members(tmp_path):
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(ARRAY), str(tmp_path / "a.nii"))
    plain = (tmp_path / "a.nii").read_bytes()
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(plain[:400]) + gzip.compress(plain[400:]))
    check_integrity(path)
    path.write_bytes(gzip.compress(plain[:400]) + gzip.compress(plain[400:-1]))
    assert refused(path) == "is cut off (592 bytes expected, 591 found)"


@pytest.mark.parametrize("order", ["<", ">"])
def test_nifti_of_both_byte_orders(tmp_path, order):
    nibabel = pytest.importorskip("nibabel")
    header = nibabel.Nifti1Header(endianness=order)
    header.set_data_dtype(f"{order}i2")
    path = tmp_path / "a.nii"
    nibabel.save(nibabel.Nifti1Image(ARRAY.T.astype(f"{order}i2"), np.diag([1, 2, 3, 1]), header), path)
    np.testing.assert_array_equal(read_volume([path]).array[0], ARRAY)
    path.write_bytes(path.read_bytes()[:-1])
    assert refused(path) == "is cut off (592 bytes expected, 591 found)"


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nifti_2_is_refused_by_name(tmp_path, ending):
    nibabel = pytest.importorskip("nibabel")
    path = tmp_path / f"a{ending}"
    nibabel.save(nibabel.Nifti2Image(ARRAY, np.eye(4)), path)
    assert refused(path) == "is NIfTI-2, which SimpleITK does not read"


@pytest.mark.parametrize(
    ("offset", "code", "value"), [(40, "h", 9), (42, "h", 0), (70, "h", 1), (108, "f", 0.0)]
)
def test_nonsense_in_a_nifti_header(tmp_path, offset, code, value):
    path = tmp_path / "a.nii"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(ARRAY), str(path))
    content = bytearray(path.read_bytes())
    struct.pack_into(f"<{code}", content, offset, value)
    path.write_bytes(content)
    refused(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_meta_image_with_its_data_beside_it(tmp_path, compressed):
    path, data = tmp_path / "a.mhd", tmp_path / "a.bin"
    path.write_text(f"{META}CompressedData = {compressed}\nElementDataFile = a.bin\n", encoding="utf-8")
    assert refused(path) == "its data file a.bin does not exist"
    content = zlib.compress(ARRAY.tobytes()) if compressed else ARRAY.tobytes()
    data.write_bytes(content)
    np.testing.assert_array_equal(read_volume([path]).array[0], ARRAY)
    assert parts_of(path) == (path, data)
    data.write_bytes(content[:-1])
    assert refused(path).startswith("is cut off (240 bytes expected, ")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("ElementDataFile = LIST\n", "keeps its voxels in several files"),
        ("ElementDataFile = slice%03d.raw\n", "keeps its voxels in several files"),
        ("BinaryData = False\nElementDataFile = LOCAL\n", "holds its voxels as text"),
        (
            "ElementType = MET_ARRAY\nElementDataFile = LOCAL\n",
            "has the voxel type MET_ARRAY, which is not supported",
        ),
        ("DimSize = 6 five 4\nElementDataFile = LOCAL\n", "its header says DimSize: '6 five 4'"),
        ("DimSize = 6 0 4\nElementDataFile = LOCAL\n", "has the sizes (6, 0, 4), at least 1 is expected"),
        ("", "is no MetaImage file (its header is not one)"),
    ],
)
def test_meta_images_that_are_refused(tmp_path, line, reason):
    path = tmp_path / "a.mha"
    replaced = line.split(" ")[0]
    head = "".join(field for field in META.splitlines(keepends=True) if field.split(" ")[0] != replaced)
    path.write_bytes(f"{head}{line}".encode())
    assert refused(path) == reason


@pytest.mark.parametrize("encoding", ["raw", "gzip", "gz"])
@pytest.mark.parametrize("detached", [False, True])
def test_nrrd_encodings(tmp_path, encoding, detached):
    path = tmp_path / "a.nrrd"
    data = tmp_path / "a.bin" if detached else path
    header = f"{NRRD}encoding: {encoding}\n" + ("data file: a.bin\n" if detached else "") + "\n"
    content = ARRAY.tobytes() if encoding == "raw" else gzip.compress(ARRAY.tobytes())
    path.write_bytes(header.encode() + (b"" if detached else content))
    if detached:
        data.write_bytes(content)
    np.testing.assert_array_equal(read_volume([path]).array[0], ARRAY)
    assert parts_of(path) == ((path, data) if detached else (path,))
    data.write_bytes(data.read_bytes()[:-1])
    assert refused(path).startswith("is cut off (240 bytes expected, ")


def test_a_nrrd_of_text_is_refused(tmp_path):
    path = tmp_path / "a.nrrd"
    path.write_bytes(f"{NRRD}encoding: ascii\n\n1 2 3".encode())
    assert refused(path) == "has the encoding 'ascii'"


def mrc(order="<", mode=1, sizes=(6, 5, 4), n_extended_bytes=0):
    """A MRC2014 file with little in its header."""
    header = bytearray(1024)
    struct.pack_into(f"{order}4i", header, 0, *sizes, mode)
    struct.pack_into(f"{order}3i", header, 28, *sizes)
    struct.pack_into(f"{order}3f", header, 40, sizes[0] * 1.0, sizes[1] * 2.0, sizes[2] * 3.0)
    struct.pack_into(f"{order}3i", header, 64, 1, 2, 3)
    struct.pack_into(f"{order}i", header, 92, n_extended_bytes)
    header[208:216] = b"MAP " + (b"\x44\x44\0\0" if order == "<" else b"\x11\x11\0\0")
    return bytes(header) + bytes(n_extended_bytes) + ARRAY.astype(f"{order}i2").tobytes()


@pytest.mark.parametrize("ending", [".mrc", ".rec"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("n_extended_bytes", [0, 160])
def test_mrc_of_both_byte_orders(tmp_path, ending, order, n_extended_bytes):
    path = tmp_path / f"a{ending}"
    path.write_bytes(mrc(order, n_extended_bytes=n_extended_bytes))
    volume = read_volume([path])
    np.testing.assert_array_equal(volume.array[0], ARRAY)
    assert volume.geometry.spacing_zyx_mm == (3.0, 2.0, 1.0)
    path.write_bytes(path.read_bytes()[:-1])
    expected = 1024 + n_extended_bytes + 240
    assert refused(path) == f"is cut off ({expected} bytes expected, {expected - 1} found)"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (mrc(mode=4), "holds complex numbers"),
        (mrc(mode=16), "has 3 components per voxel (vector or colour), 1 is expected"),
        (mrc(mode=12), "has the voxel type MRC mode 12, which is not supported"),
        (mrc(sizes=(6, 5, 1)), "is a 2-D image, 3-D volumes are expected"),
        (mrc(sizes=(6, 0, 4)), "is no MRC file (its header is not one)"),
        (mrc()[:1000], "is no MRC file (its header is not one)"),
    ],
)
def test_mrc_files_that_are_refused(tmp_path, content, reason):
    path = tmp_path / "a.mrc"
    path.write_bytes(content)
    assert refused(path) == reason


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_tiffs_of_other_programs(tmp_path, compression, bigtiff):
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, ARRAY, photometric="minisblack", compression=compression, bigtiff=bigtiff)
    np.testing.assert_array_equal(read_volume([path]).array[0], ARRAY)
    with tifffile.TiffFile(path) as tiff:
        last = tiff.pages[-1]
        end_of_data = max(o + n for o, n in zip(last.dataoffsets, last.databytecounts, strict=True))
    whole = path.read_bytes()
    path.write_bytes(whole[: end_of_data - 1])
    refused(path)
    if compression == "zlib":
        damaged = bytearray(whole)
        damaged[end_of_data - 1] ^= 0xFF
        path.write_bytes(damaged)
        assert refused(path).startswith("page 3 is damaged")


@pytest.mark.parametrize("number_type", ["float16", "float64", "uint64", "complex64"])
def test_tiff_types_that_itk_misreads_are_refused(tmp_path, number_type):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "a.tif", ARRAY.astype(number_type), photometric="minisblack")
    assert refused(tmp_path / "a.tif") == f"has the voxel type {number_type}, which is not supported"


def test_tiff_pages_that_differ(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(ARRAY[0])
        writer.write(ARRAY[0, :3])
    assert refused(tmp_path / "a.tif") == "page 1 differs from page 0 in shape or type"


def test_endings(tmp_path):
    assert volume_ending(tmp_path / "a.b.nii.gz") == ".nii.gz"
    assert volume_ending(tmp_path / "A.NII") == ".nii"
    assert volume_ending(tmp_path / "a.tiff") == ".tiff"
    assert [path.name for path in tiff_sidecars(tmp_path / "a_0000.tif")] == ["a_0000.json", "a.json"]
    assert [path.name for path in tiff_sidecars(tmp_path / "a.tiff")] == ["a.json"]
