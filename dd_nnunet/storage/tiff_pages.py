"""The pages of a TIFF: are they all there, alike, and undamaged?"""

import contextlib
import logging
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tifffile

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage import header_checks

# Adobe's and the older code for the same zlib stream, TIFF 6.0 supplement 2
ZLIB_COMPRESSIONS = (8, 32946)
# ITK takes float16 for uint16 without a word, and has no 64-bit numbers
READABLE_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32")


def check_tiff(path: Path) -> header_checks.Oddities:
    """Check that a TIFF holds pages of one shape, all with their data inside the file.

    Raises:
        UserError: no TIFF, one page only, colour, complex, pages that differ, cut off, a wrong checksum.
    """
    try:
        with _silent_tifffile(), tifffile.TiffFile(path) as tiff:
            _check_pages(path, [tiff.pages[number] for number in range(len(tiff.pages))])
    except UserError:
        raise
    # tifffile raises errors of many kinds for entries that make no sense
    except Exception as error:
        raise UserError(path, f"is no sound TIFF file ({error})", header_checks.COPY_AGAIN) from None
    return ()


@contextlib.contextmanager
def _silent_tifffile() -> Iterator[None]:
    """Without the lines that tifffile logs of a damaged file: our error says it."""
    logger = logging.getLogger("tifffile")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was_disabled


def _check_pages(path: Path, pages: list[Any]) -> None:
    first = pages[0].aspage()
    if first.samplesperpixel > 1:
        header_checks.refuse_vector(path, first.samplesperpixel)
    if str(first.dtype) not in READABLE_TYPES:
        header_checks.refuse_type(path, first.dtype)
    if len(pages) < 2:
        header_checks.refuse_2d(path)
    found = path.stat().st_size
    for number, frame in enumerate(pages):
        page = frame.aspage()
        if page.shape != first.shape or page.dtype != first.dtype:
            raise UserError(
                path, f"page {number} differs from page 0 in shape or type", header_checks.COPY_AGAIN
            )
        segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        header_checks.check_found(path, max(offset + count for offset, count in segments), found)
        if page.compression in ZLIB_COMPRESSIONS:
            _check_checksums(path, number, segments)


def _check_checksums(path: Path, number: int, segments: list[tuple[int, int]]) -> None:
    with path.open("rb") as stream:
        for offset, count in segments:
            stream.seek(offset)
            try:
                zlib.decompress(stream.read(count))
            except zlib.error as error:
                raise UserError(
                    path, f"page {number} is damaged ({error})", header_checks.COPY_AGAIN
                ) from None
