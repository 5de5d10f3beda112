"""Unpack a compressed stream to its very end without keeping it, so that its checksum is checked."""

import zlib
from dataclasses import dataclass
from typing import BinaryIO

READ_BYTES = 1 << 18
PIECE_BYTES = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
# zlib's window codes, see https://www.zlib.net/manual.html#Advanced (inflateInit2)
GZIP_ONLY = 31
GZIP_OR_ZLIB = 47


@dataclass(frozen=True)
class Inflated:
    """What came out of a compressed stream.

    Args:
        head: the first bytes.
        size_bytes: all bytes that came out.
        fault: why it ended early, "" if it ended well and its checksum is right.
    """

    head: bytes
    size_bytes: int
    fault: str


def inflate(stream: BinaryIO, window: int = GZIP_ONLY, n_head_bytes: int = 0) -> Inflated:
    """Unpack from the stream's position on, in bounded memory; gzip members may follow one another.

    Args:
        stream: open for reading bytes.
        window: `GZIP_ONLY` or `GZIP_OR_ZLIB`.
        n_head_bytes: how many of the first unpacked bytes to keep.
    """
    head, size, packed = b"", 0, b""
    unpacker = zlib.decompressobj(window)
    while True:
        packed = packed or stream.read(READ_BYTES)
        if not packed:
            return Inflated(head, size, "is cut off")
        try:
            piece = unpacker.decompress(packed, PIECE_BYTES)
        except zlib.error as error:
            return Inflated(head, size, _fault(error))
        head += piece[: n_head_bytes - len(head)]
        size += len(piece)
        packed = unpacker.unconsumed_tail
        if unpacker.eof:
            packed = unpacker.unused_data or stream.read(READ_BYTES)
            # what follows the last member (often zeros that fill a block) is no data, as in gzip itself
            if not packed.startswith(GZIP_MAGIC):
                return Inflated(head, size, "")
            unpacker = zlib.decompressobj(window)


def _fault(error: zlib.error) -> str:
    reason = str(error).split(": ")[-1]
    if reason == "incorrect data check":
        return "is damaged: its checksum is wrong"
    return f"is damaged: {reason}"
