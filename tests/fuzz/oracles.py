"""What a volume file says, read in the simplest way that can be checked by eye: [Z,Y,X] as float32, or None.

None: this reader does not know the variant, and nothing is compared.
"""

import gzip
import math
import struct
import warnings
import zlib

import numpy as np
import tifffile

NIFTI_TYPES = {
    **{2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
}
META_TYPES = {
    **{"CHAR": "i1", "UCHAR": "u1", "SHORT": "i2", "USHORT": "u2", "INT": "i4", "UINT": "u4", "LONG": "i4"},
    **{"ULONG": "u4", "LONG_LONG": "i8", "ULONG_LONG": "u8", "FLOAT": "f4", "DOUBLE": "f8"},
}
NRRD_TYPES = {
    **{
        "int8": "i1",
        "uint8": "u1",
        "short": "i2",
        "uint16": "u2",
        "int": "i4",
        "float": "f4",
        "double": "f8",
    },
    **{"int64": "i8"},
}
# mode 0 is signed in MRC2014 and was unsigned before; the gate tells that it is taken for the latter
MRC_TYPES = {0: "u1", 1: "i2", 2: "f4", 6: "u2"}


def says(path):
    """The voxels that a file announces and holds."""
    data = path.read_bytes()
    ending = path.name.split(".", 1)[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if ending.startswith("nii"):
            voxels = nifti_says(gzip.decompress(data) if ending.endswith("gz") else data)
        elif ending in ("mha", "mhd"):
            voxels = meta_says(path, data)
        elif ending == "nrrd":
            voxels = nrrd_says(path, data)
        elif ending == "mrc":
            voxels = mrc_says(data)
        else:
            voxels = tiff_says(path)
        return None if voxels is None else voxels.astype(np.float32)


def nifti_says(data):
    order = "<" if struct.unpack_from("<i", data)[0] == 348 else ">"
    dim = struct.unpack_from(f"{order}8h", data, 40)
    (datatype,) = struct.unpack_from(f"{order}h", data, 70)
    offset, slope, intercept = struct.unpack_from(f"{order}3f", data, 108)
    x, y, z = dim[1:4]
    voxels = np.frombuffer(data, order + NIFTI_TYPES[datatype], x * y * z, int(offset)).reshape(z, y, x)
    # nifti1.h: no slope, no scaling
    return voxels if slope == 0 or not math.isfinite(slope) else voxels.astype(np.float64) * slope + intercept


def meta_says(path, data):
    head, fields = {}, data.split(b"\n")
    end = 0
    for line in fields:
        end += len(line) + 1
        name, _, value = line.decode("utf-8", "surrogateescape").partition("=")
        head[name.strip()] = value.strip()
        if name.strip() == "ElementDataFile":
            break
    if head["ElementDataFile"].upper() != "LOCAL":
        data, end = (path.parent / head["ElementDataFile"]).read_bytes(), 0
    body = data[end:]
    if head.get("CompressedData", "False").lower() in ("true", "1"):
        body = zlib.decompressobj(47).decompress(body)
    big = any(
        head.get(name, "F").upper()[:1] in "T1" for name in ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    )
    skip = int(head.get("HeaderSize", 0))
    x, y, z = map(int, head["DimSize"].split()[:3])
    dtype = np.dtype((">" if big else "<") + META_TYPES[head["ElementType"].removeprefix("MET_")])
    start = max(0, skip) if skip >= 0 else len(body) - x * y * z * dtype.itemsize
    return np.frombuffer(body, dtype, x * y * z, start).reshape(z, y, x)


def nrrd_says(path, data):
    head, _, body = data.partition(b"\n\n") if b"\n\n" in data else (data.rstrip(b"\n"), b"", b"")
    fields = dict(
        line.split(": ", 1)
        for line in head.decode("utf-8", "surrogateescape").splitlines()[1:]
        if ": " in line
    )
    if "data file" in fields:
        body = (path.parent / fields["data file"].strip()).read_bytes()
    if fields["encoding"].strip() in ("gzip", "gz"):
        # what follows the stream is no data
        body = zlib.decompressobj(31).decompress(body)
    dtype = NRRD_TYPES.get(fields["type"].strip())
    if dtype is None or fields.get("line skip", "0").strip() != "0":
        return None
    x, y, z = map(int, fields["sizes"].split()[:3])
    dtype = np.dtype((">" if fields.get("endian", "little").strip() == "big" else "<") + dtype)
    skip = int(fields.get("byte skip", "0"))
    start = skip if skip >= 0 else len(body) - x * y * z * dtype.itemsize
    return np.frombuffer(body, dtype, x * y * z, start).reshape(z, y, x)


def mrc_says(data):
    order = "<" if 0 < struct.unpack_from("<i", data)[0] < 1 << 20 else ">"
    x, y, z, mode = struct.unpack_from(f"{order}4i", data)
    (n_extended,) = struct.unpack_from(f"{order}i", data, 92)
    return np.frombuffer(data, order + MRC_TYPES[mode], x * y * z, 1024 + n_extended).reshape(z, y, x)


def tiff_says(path):
    try:
        with tifffile.TiffFile(path) as tiff:
            return np.stack([page.asarray() for page in tiff.pages])
    # a compression that tifffile does not know
    except Exception:
        return None
