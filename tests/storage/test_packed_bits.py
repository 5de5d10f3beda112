import pytest

from dd_nnunet.storage.inflate import count_packed_bits


def test_the_example_of_the_standard():
    # TIFF 6.0, section 9: 15 bytes unpack to 24
    packed = bytes.fromhex("FEAA0280002AFDAA0380002A22F7AA")
    assert count_packed_bits(packed, 24) == (24, "")


@pytest.mark.parametrize(
    ("packed", "size"),
    [
        (b"", 0),
        # nothing, twice
        (b"\x80\x80", 0),
        (b"\x03abcd" * 2, 8),
        (b"\xfda\xfdb", 8),
    ],
)
def test_rows_of_four(packed, size):
    assert count_packed_bits(packed, 4) == (size, "")


@pytest.mark.parametrize("packed", [b"\x04abcde", b"\x01ab\x03abcd", b"\xfca", b"\x03abc", b"\xfd"])
def test_a_run_that_crosses_a_row_or_is_cut_off(packed):
    assert "beyond its row" in count_packed_bits(packed, 4)[1]
