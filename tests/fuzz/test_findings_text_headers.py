"""What fuzzing has found in MetaImage and NRRD, each as its smallest input; what was wrong then stands beside it."""

import zlib

import pytest
from damaged_volumes import check_volume
from refusals import refused, refused_volume
from sound_volumes import ARRAY, META, NRRD

from dd_nnunet.storage.volume import read_volume

SHORT = ARRAY.astype("<i2").tobytes()
META_SHORT = META.format(packed=False, kind="MET_SHORT", file="LOCAL")
NRRD_SHORT = NRRD.format(kind="short", endian="little", encoding="raw")


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
