"""Unpack a compressed stream to its very end without keeping it, so that its checksum is checked."""

import zlib
from typing import IO

READ_BYTES = 1 << 18
PIECE_BYTES = 1 << 20
PACKBITS_NOTHING = 128
GZIP_MAGIC = b"\x1f\x8b"
# zlib's window codes, see https://www.zlib.net/manual.html#Advanced (inflateInit2)
GZIP_ONLY = 31
GZIP_OR_ZLIB = 47


def count_inflated(stream: IO[bytes], window: int) -> tuple[int, str]:
    """Unpack from the stream's position on, in bounded memory; gzip members may follow one another.

    Args:
        stream: open for reading bytes.
        window: `GZIP_ONLY` or `GZIP_OR_ZLIB`.

    Returns:
        How many bytes came out, and why it ended early ("" if it ended well and its checksum is right).
    """
    size, packed = 0, b""
    unpacker = zlib.decompressobj(window)
    while packed := packed or stream.read(READ_BYTES):
        try:
            size += len(unpacker.decompress(packed, PIECE_BYTES))
        except zlib.error as error:
            return size, fault_of(error)
        packed = unpacker.unconsumed_tail
        if unpacker.eof:
            packed = unpacker.unused_data or stream.read(READ_BYTES)
            # what follows the last member (often zeros that fill a block) is no data, as in gzip itself
            if not packed.startswith(GZIP_MAGIC):
                return size, ""
            unpacker = zlib.decompressobj(window)
    return size, fault_of(EOFError())


def count_packed_bits(packed: bytes, row_bytes: int) -> tuple[int, str]:
    """Unpack PackBits, where no run may cross the end of a row: libtiff drops what does.

    Args:
        packed: a strip or tile.
        row_bytes: of its unpacked rows.

    Returns:
        As `count_inflated`.

    Source: TIFF 6.0, section 9.
    """
    size, place = 0, 0
    while place < len(packed):
        code = packed[place]
        place += 1
        if code == PACKBITS_NOTHING:
            continue
        length = code + 1 if code < PACKBITS_NOTHING else 257 - code
        place += length if code < PACKBITS_NOTHING else 1
        if place > len(packed) or size % row_bytes + length > row_bytes:
            return size, "is damaged: a run of bytes goes on beyond its row"
        size += length
    return size, ""


def fault_of(error: Exception) -> str:
    """What an unpacking error of zlib or gzip means for the file, as the start of a sentence about it."""
    if isinstance(error, EOFError):
        return "is cut off"
    reason = str(error).split(": ")[-1]
    if "data check" in reason or "CRC" in reason:
        return "is damaged: its checksum is wrong"
    return f"is damaged: {reason}"
