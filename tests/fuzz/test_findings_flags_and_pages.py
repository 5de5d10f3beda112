"""Found by fuzzing: flags and pages that ITK takes otherwise than they are meant."""

import struct

import pytest
from refusals import changed, refused_volume, tiff_entry
from sound_volumes import ARRAY, META, sound_tiffs

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage.volume import read_volume

SHORTS = META.format(packed=False, kind="MET_SHORT", file="LOCAL")
# of TIFF 6.0
KIND_OF_PAGE, STRIP_OFFSETS = 254, 273


def with_values(data, tag, values):
    """The TIFF with another value of a tag, per page."""
    places = (tiff_entry(data, page, tag) + 8 for page in range(len(values)))
    return changed(data, *((place, "I", value) for place, value in zip(places, values, strict=True)))


@pytest.mark.parametrize("value", ["TmpressedData = True", "yes", "Truth", "2"])
@pytest.mark.parametrize("name", ["BinaryData", "CompressedData", "BinaryDataByteOrderMSB"])
def test_a_flag_that_is_no_flag(tmp_path, name, value):
    """MetaIO looks at its first letter."""
    head = "".join(
        f"{name} = {value}\n" if line.startswith(f"{name} ") else line for line in SHORTS.splitlines(True)
    )
    assert f"{name} = {value}" in head
    body = ARRAY.astype("<i2").tobytes()
    assert refused_volume(tmp_path / "a.mha", head.encode() + body) == f"its header says {name}: {value!r}"


@pytest.mark.parametrize("kinds", [(0, 2), (2, 0)])
def test_pages_of_two_kinds(tmp_path, kinds):
    """ITK wrote past the end of its memory."""
    data = with_values(sound_tiffs()[-1][1], KIND_OF_PAGE, kinds)
    assert "differs from page 0" in refused_volume(tmp_path / "a.tif", data)


@pytest.mark.parametrize("kind", [1, 3, 4])
def test_thumbnails_and_masks(tmp_path, kind):
    """ITK left them out."""
    data = with_values(sound_tiffs()[-1][1], KIND_OF_PAGE, (kind, kind))
    assert refused_volume(tmp_path / "a.tif", data) == "page 0 is a thumbnail or a mask"


def test_plain_images_are_pages_as_well(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(with_values(sound_tiffs()[-1][1], KIND_OF_PAGE, (0, 0)))
    assert read_volume([path]).array.tolist() == [ARRAY.tolist()]


def test_a_strip_inside_the_header(tmp_path):
    """ITK took the file's first bytes for voxels, others took zeros."""
    data = sound_tiffs()[0][1]
    (offset,) = struct.unpack_from("<I", data, tiff_entry(data, 0, STRIP_OFFSETS) + 8)
    assert refused_volume(tmp_path / "a.tif", with_values(data, STRIP_OFFSETS, (offset, 0))) == (
        "page 1 says where no data can be"
    )


@pytest.mark.parametrize("first", [8, 127])
def test_a_run_beyond_its_row(tmp_path, first):
    """Packed by PackBits, 8 bytes a row: ITK dropped what was too much, others wrote over other rows."""
    data = bytearray(sound_tiffs()[-1][1])
    (start,) = struct.unpack_from("<I", data, tiff_entry(data, 0, STRIP_OFFSETS) + 8)
    assert data[start] == 7
    data[start] = first
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    with pytest.raises(UserError, match="page 0 is damaged: a run of bytes goes on beyond its row"):
        read_volume([path])
