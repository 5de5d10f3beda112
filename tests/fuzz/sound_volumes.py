"""Sound volumes of every format, small and in many variants, as the bytes of their files."""

import functools
import gzip
import io
import struct
import tempfile
import zlib
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK
import tifffile

ARRAY = (np.arange(24).reshape(2, 3, 4) * 7 + 3).astype(np.int16)
NIFTI_FIELDS = (
    *[(0, "i"), (39, "B"), (68, "h"), (70, "h"), (72, "h"), (108, "f"), (112, "f"), (116, "f"), (123, "B")],
    *[(40 + 2 * axis, "h") for axis in range(8)],
    *[(76 + 4 * axis, "f") for axis in range(8)],
    *[(252, "h"), (254, "h"), (344, "B"), (345, "B"), (346, "B"), (347, "B"), (348, "B")],
    *[(256 + 4 * number, "f") for number in range(18)],
)
MRC_FIELDS = (
    *[(4 * number, "i") for number in range(10)],
    *[(40 + 4 * number, "f") for number in range(6)],
    *[
        (64, "i"),
        (68, "i"),
        (72, "i"),
        (76, "f"),
        (80, "f"),
        (84, "f"),
        (88, "i"),
        (92, "i"),
        (104, "I"),
        (108, "i"),
    ],
    *[
        (152, "I"),
        (156, "i"),
        (196, "f"),
        (200, "f"),
        (204, "f"),
        (208, "I"),
        (212, "B"),
        (213, "B"),
        (216, "f"),
    ],
)
META_NAMES = (
    *("ObjectType", "NDims", "DimSize", "ElementType", "ElementSpacing", "ElementSize", "Offset", "Position"),
    *("TransformMatrix", "Origin", "CenterOfRotation", "HeaderSize", "CompressedData", "CompressedDataSize"),
    *("BinaryData", "BinaryDataByteOrderMSB", "ElementByteOrderMSB", "ElementNumberOfChannels", "ElementMin"),
    *("ElementMax", "ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset", "Modality", "SequenceID"),
    *("AnatomicalOrientation", "ElementDataFile", "Name", "Comment", "dimsize", "CompressionLevel", "DistanceUnits"),
)  # fmt: skip
NRRD_NAMES = (
    *("type", "dimension", "sizes", "spacings", "space", "space dimension", "space directions", "space origin"),
    *("space units", "units", "kinds", "centers", "centerings", "endian", "encoding", "data file", "datafile"),
    *("line skip", "lineskip", "byte skip", "byteskip", "content", "min", "max", "old min", "oldmin", "axis mins"),
    *("axis maxs", "thicknesses", "labels", "measurement frame", "block size", "number", "sample units", "Sizes"),
)  # fmt: skip
META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = {packed}\n"
    "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 1 2 3\nCenterOfRotation = 0 0 0\nElementSpacing = 1 2 3\n"
    "DimSize = 4 3 2\nElementType = {kind}\nElementDataFile = {file}\n"
)
NRRD = (
    "NRRD0004\n# a remark\ntype: {kind}\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 3 2\n"
    "space directions: (1,0,0) (0,2,0) (0,0,3)\nkinds: domain domain domain\nendian: {endian}\n"
    "encoding: {encoding}\nspace origin: (1,2,3)\n"
)


@functools.cache
def sound_niftis():
    """Unpacked NIfTI-1 files: (byte order, bytes)."""
    found = []
    for order, kind in [("<", "u1"), ("<", "i2"), ("<", "f4"), ("<", "f8"), (">", "i2"), (">", "f4")]:
        header = nibabel.Nifti1Header(endianness=order)
        header.set_data_dtype(np.dtype(order + kind))
        header.set_xyzt_units("mm", "sec")
        image = nibabel.Nifti1Image(ARRAY.T.astype(order + kind), np.diag([1.0, 2, 3, 1]), header)
        image.set_sform(np.diag([-1.0, -2, 3, 1]), 1)
        image.set_qform(np.diag([-1.0, -2, 3, 1]), 1 if kind != "f8" else 0)
        found.append((order, image.to_bytes()))
    return found


@functools.cache
def sound_text_volumes(ending):
    """MetaImage or NRRD: (header, data that follow it, {name of a file beside it: its bytes})."""
    little, big = ARRAY.astype("<i2").tobytes(), ARRAY.astype(">i2").tobytes()
    reals = (ARRAY + 0.5).astype("<f4").tobytes()
    if ending == ".nrrd":
        raw = {"kind": "short", "endian": "little", "encoding": "raw"}
        return [
            (NRRD.format(**raw), little, {}),
            (NRRD.format(**{**raw, "endian": "big"}), big, {}),
            (NRRD.format(kind="float", endian="little", encoding="gzip"), gzip.compress(reals, mtime=0), {}),
            (NRRD.format(**raw) + "data file: a.raw\n", b"", {"a.raw": little}),
        ]
    short = {"packed": False, "kind": "MET_SHORT", "file": "LOCAL"}
    packed = zlib.compress(reals)
    size = f"True\nCompressedDataSize = {len(packed)}"
    own = [
        (META.format(**short), little, {}),
        (META.format(**short).replace("MSB = False", "MSB = True"), big, {}),
        (META.format(packed=size, kind="MET_FLOAT", file="LOCAL"), packed, {}),
    ]
    beside = {**short, "file": "a.raw"}
    return [
        *own,
        (META.format(**beside), b"", {"a.raw": little}),
        (META.format(**{**beside, "packed": True}), b"", {"a.raw": zlib.compress(little)}),
    ]


@functools.cache
def sound_mrcs():
    """MRC files: (byte order, bytes)."""
    found = []
    for order, mode, kind, n_extended in [
        ("<", 1, "i2", 0),
        ("<", 2, "f4", 16),
        ("<", 0, "i1", 0),
        (">", 6, "u2", 0),
    ]:
        head = bytearray(1024)
        struct.pack_into(f"{order}10i", head, 0, 4, 3, 2, mode, 0, 0, 0, 4, 3, 2)
        struct.pack_into(f"{order}6f", head, 40, 4.0, 6.0, 6.0, 90.0, 90.0, 90.0)
        struct.pack_into(f"{order}3i", head, 64, 1, 2, 3)
        struct.pack_into(f"{order}i", head, 92, n_extended)
        head[208:216] = b"MAP " + (b"\x44\x44\0\0" if order == "<" else b"\x11\x11\0\0")
        data = (ARRAY % 100).astype(order + kind).tobytes()
        found.append((order, bytes(head) + bytes(n_extended) + data))
    return found


@functools.cache
def sound_tiffs():
    """TIFF files: (byte order, bytes)."""
    found = []
    for order, kind, compression, more in [
        ("<", "i2", None, {}),
        (">", "u2", None, {}),
        ("<", "u1", "zlib", {}),
        ("<", "f4", "zlib", {"rowsperstrip": 1}),
        ("<", "u2", None, {"rowsperstrip": 2}),
    ]:
        stream = io.BytesIO()
        array = ARRAY.astype(order + kind)
        with tifffile.TiffWriter(stream, byteorder=order) as writer:
            for page in array:
                writer.write(page, photometric="minisblack", compression=compression, metadata=None, **more)
        found.append((order, stream.getvalue()))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tif"
        SimpleITK.WriteImage(
            SimpleITK.GetImageFromArray(ARRAY.astype(np.uint16)), str(path), useCompression=True
        )
        found.append(("<", path.read_bytes()))
    return found


def tiff_fields(order, data):
    """The places of all entries of all pages."""
    fields = [(2, f"{order}H"), (4, f"{order}I")]
    (page,) = struct.unpack_from(f"{order}I", data, 4)
    while page:
        (n_entries,) = struct.unpack_from(f"{order}H", data, page)
        for entry in range(page + 2, page + 2 + 12 * n_entries, 12):
            fields += [(entry, f"{order}H"), (entry + 2, f"{order}H"), (entry + 4, f"{order}I")]
            fields += [(entry + 8, f"{order}I"), (entry + 8, f"{order}H")]
        end = page + 2 + 12 * n_entries
        fields += [(page, f"{order}H"), (end, f"{order}I")]
        (page,) = struct.unpack_from(f"{order}I", data, end)
    return tuple(fields)


def sound_files():
    """Format -> files of each volume: name -> bytes, that of the header first."""
    text = {ending: sound_text_volumes(ending) for ending in (".nrrd", ".mha", ".mhd")}
    return {
        ".nii": [{"a.nii": data} for _, data in sound_niftis()],
        ".nii.gz": [{"a.nii.gz": gzip.compress(data, mtime=0)} for _, data in sound_niftis()],
        ".mrc": [{"a.mrc": data} for _, data in sound_mrcs()],
        ".tif": [{"a.tif": data} for _, data in sound_tiffs()],
        **{
            ending: [
                {f"a{ending}": text_file(ending, head, body), **beside} for head, body, beside in volumes
            ]
            for ending, volumes in text.items()
        },
    }


def text_file(ending, head, body):
    """Header and voxels as they follow each other."""
    return head.rstrip("\n").encode("utf-8", "replace") + (b"\n\n" if ending == ".nrrd" else b"\n") + body
