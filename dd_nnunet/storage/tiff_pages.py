"""The pages of a TIFF: are they all there, alike, and undamaged?"""

import contextlib
import io
import logging
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tifffile

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage import header_checks
from dd_nnunet.storage.inflate import count_inflated, count_packed_bits

# Adobe's and the older code for the same zlib stream, TIFF 6.0 supplement 2
ZLIB_COMPRESSIONS = (8, 32946)
UNCOMPRESSED = 1
PACKBITS = 32773
# a strip cannot lie in the file's own header
HEADER_BYTES = 8
# kind of page (two tags), width, length, bits, compression, photometric, fill order, orientation, samples, rows per
# strip, planes, predictor, tile width and length, sample format
LAYOUT_TAGS = (254, 255, 256, 257, 258, 259, 262, 266, 274, 277, 278, 284, 317, 322, 323, 339)
KIND_OF_PAGE = 254
# a plain image, and a page of several; others are thumbnails and masks, which ITK leaves out, or crashes on
FULL_PAGES = (0, 2)
# ITK takes float16 for uint16 without a word, and has no 64-bit numbers
READABLE_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32")


def check_tiff(path: Path, whole: bool = True) -> header_checks.Oddities:
    """Check that a TIFF holds pages of one shape, all with their data inside the file; `whole`: and undamaged.

    Raises:
        UserError: no TIFF, one page only, colour, complex, pages that differ, cut off, a wrong checksum.
    """
    try:
        with _silent_tifffile(), tifffile.TiffFile(path) as tiff:
            _check_pages(path, [tiff.pages[number] for number in range(len(tiff.pages))], whole)
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


def _check_pages(path: Path, pages: list[Any], whole: bool) -> None:
    first = pages[0].aspage()
    if first.samplesperpixel > 1:
        header_checks.refuse_vector(path, first.samplesperpixel)
    if str(first.dtype) not in READABLE_TYPES:
        header_checks.refuse_type(path, first.dtype)
    if len(pages) < 2:
        header_checks.refuse_2d(path)
    for number, frame in enumerate(pages):
        page = frame.aspage()
        if page.shape != first.shape or page.dtype != first.dtype or _layout(page) != _layout(first):
            raise UserError(
                path, f"page {number} differs from page 0 in shape or type", header_checks.COPY_AGAIN
            )
        if KIND_OF_PAGE in page.tags and page.tags[KIND_OF_PAGE].value not in FULL_PAGES:
            raise UserError(
                path, f"page {number} is a thumbnail or a mask", "keep the pages of one volume only"
            )
        _check_segments(path, number, page, whole)


def _layout(page: Any) -> dict[int, tuple[Any, Any]]:
    """What the entries say of a page's layout, and in which type; an odd type is passed over by libtiff."""
    return {code: (page.tags[code].dtype, page.tags[code].value) for code in LAYOUT_TAGS if code in page.tags}


def _check_segments(path: Path, number: int, page: Any, whole: bool) -> None:
    """Check that the strips or tiles of a page lie in the file and hold all its bytes."""
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if min(offset for offset, _ in segments) < HEADER_BYTES:
        raise UserError(path, f"page {number} says where no data can be", header_checks.COPY_AGAIN)
    end = max(offset + count for offset, count in segments)
    header_checks.check_found(path, end, path.stat().st_size)
    if page.compression in (*ZLIB_COMPRESSIONS, PACKBITS) and whole:
        n_bytes = sum(_count_unpacked(path, number, page, *segment) for segment in segments)
    elif page.compression == UNCOMPRESSED:
        n_bytes = sum(count for _, count in segments)
    else:
        return
    if n_bytes < page.nbytes:
        raise UserError(
            path, f"page {number} holds {n_bytes} bytes, {page.nbytes} are expected", header_checks.COPY_AGAIN
        )


def _count_unpacked(path: Path, number: int, page: Any, offset: int, count: int) -> int:
    with path.open("rb") as stream:
        stream.seek(offset)
        packed = stream.read(count)
    if page.compression == PACKBITS:
        row = (page.tilewidth or page.imagewidth) * page.dtype.itemsize
        n_bytes, fault = count_packed_bits(packed, row)
    else:
        n_bytes, fault = count_inflated(io.BytesIO(packed), zlib.MAX_WBITS)
    if fault:
        raise UserError(path, f"page {number} {fault}", header_checks.COPY_AGAIN)
    return n_bytes
