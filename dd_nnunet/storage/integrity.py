"""The gate before SimpleITK: it reads cut-off and damaged files without a word, we do not."""

from collections.abc import Callable
from pathlib import Path

from dd_nnunet.core.dataset import FILE_ENDINGS
from dd_nnunet.core.errors import UserError
from dd_nnunet.storage import header_checks
from dd_nnunet.storage.meta_image import check_meta_image, read_meta_header
from dd_nnunet.storage.mrc_header import check_mrc
from dd_nnunet.storage.nifti_scan import check_nifti
from dd_nnunet.storage.nrrd import check_nrrd, read_nrrd_header
from dd_nnunet.storage.tiff_pages import check_tiff


def check_integrity(
    path: Path, n_volumes: int = 1, finite: bool = True, whole: bool = True
) -> header_checks.Oddities:
    """Read a volume file to its end, in bounded memory, and check that it is whole and of a kind we take.

    Args:
        path: the file.
        n_volumes: that it must hold after one another; more than 1 in NIfTI files only.
        finite: refuse NaN and infinite voxels of NIfTI files, which ITK would hide (those of other formats
            are found by `read_volume`).
        whole: read to the end; otherwise the header alone, which is what ITK may be shown then.

    Returns:
        What is odd but can be read: a negative spacing, a sheared sform beside a qform.

    Raises:
        UserError: missing, empty, of another format, cut off, a wrong checksum; 2-D, 4-D, vector, colour or
            complex; a spacing of zero or NaN; a sheared grid; NaN or infinite voxels.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(path, "does not exist", "check the path")
    if path.stat().st_size == 0:
        raise UserError(path, "is empty (0 bytes)", header_checks.COPY_AGAIN)
    ending = volume_ending(path)
    if ending in NIFTI_ENDINGS:
        return check_nifti(path, n_volumes, finite, whole)
    return CHECKS[ending](path, whole)


def volume_ending(path: Path) -> str:
    """The ending of a volume file, in lower case.

    Raises:
        UserError: none of those we read.
    """
    for ending in FILE_ENDINGS:
        if path.name.lower().endswith(ending):
            return ending
    raise UserError(path, "has an unknown ending", f"allowed: {' '.join(FILE_ENDINGS)}")


def parts_of(path: Path) -> tuple[Path, ...]:
    """All files that make up a volume: itself, its detached data, its TIFF spacing.

    Raises:
        UserError: its header is damaged.
    """
    ending = volume_ending(path)
    if ending in (".mha", ".mhd"):
        return tuple(dict.fromkeys((path, read_meta_header(path).data_file)))
    if ending == ".nrrd":
        return tuple(dict.fromkeys((path, read_nrrd_header(path).data_file)))
    if ending in (".tif", ".tiff"):
        return (path, *(sidecar for sidecar in tiff_sidecars(path) if sidecar.is_file()))
    return (path,)


def tiff_sidecars(path: Path) -> tuple[Path, ...]:
    """Where a TIFF's spacing may stand, as in nnU-Net: {case}.json beside {case}_0000.tif or {case}.tif."""
    stem = path.name[: -len(volume_ending(path))]
    without_channel = stem[:-5] if stem[-5:-4] == "_" and stem[-4:].isdigit() else stem
    return tuple(path.with_name(f"{name}.json") for name in dict.fromkeys((stem, without_channel)))


NIFTI_ENDINGS = (".nii.gz", ".nii")
CHECKS: dict[str, Callable[[Path, bool], header_checks.Oddities]] = {
    ".nrrd": check_nrrd,
    ".mha": check_meta_image,
    ".mhd": check_meta_image,
    ".tif": check_tiff,
    ".tiff": check_tiff,
    ".mrc": check_mrc,
    ".rec": check_mrc,
}
