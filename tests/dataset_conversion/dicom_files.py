"""Tiny DICOM series, written by GDCM."""

import locale

import numpy as np
import SimpleITK

SHAPE = (8, 16, 12)
VOXELS = np.arange(8 * 16 * 12, dtype=np.int16).reshape(SHAPE) - 700
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def write_series(folder, voxels=VOXELS, places=None, compressor="", **tags):
    """Write a slice [Y,X] per file, s00.dcm first; 0.7 × 0.5 mm, 2.5 mm apart, and a patient's name.

    `places` are positions (x, y, z) of the slices, `tags` others than these, e.g. t0008_0060="MR".
    """
    folder.mkdir(parents=True, exist_ok=True)
    if places is None:
        places = [(-10.0, -20.0, 5.0 + 2.5 * k) for k in range(len(voxels))]
    for number, (plane, place) in enumerate(zip(voxels, places, strict=True)):
        image = SimpleITK.GetImageFromArray(plane)
        given = {
            "0008|0060": "CT",
            "0010|0010": "DOE^JOHN",
            "0020|000d": "1.2.3",
            "0020|000e": "1.2.3.4",
            "0020|0011": "3",
            "0020|0013": str(number + 1),
            "0020|0032": "\\".join(f"{x:.6g}" for x in place),
            "0020|0037": "\\".join(f"{x:.6f}" for x in AXIAL),
            **{name[1:].replace("_", "|"): value for name, value in tags.items()},
        }
        for tag, value in given.items():
            image.SetMetaData(tag, value)
        image.SetSpacing((0.5, 0.7))
        writer = SimpleITK.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.KeepOriginalImageUIDOn()
        if compressor:
            writer.SetUseCompression(True)
            writer.SetCompressor(compressor)
        writer.SetFileName(str(folder / f"s{number:02d}.dcm"))
        before = locale.setlocale(locale.LC_ALL)
        writer.Execute(image)
        # GDCM's writer leaves the locale "C" behind, and with it ASCII as everyone's encoding
        locale.setlocale(locale.LC_ALL, before)
