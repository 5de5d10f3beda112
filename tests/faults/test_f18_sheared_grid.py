"""F18: a sheared grid is an error that names a tool to resample it with."""

import numpy as np
import pytest
from fault_files import VOXELS, error_of, write_voxels

from dd_nnunet.storage.integrity import check_integrity
from dd_nnunet.storage.volume import read_volume


def write_sheared(path, shear, qform_code=0):
    """x is moved by `shear` mm per mm of y, in the sform."""
    nibabel = pytest.importorskip("nibabel")
    affine = np.eye(4)
    affine[0, 1] = shear
    image = nibabel.Nifti1Image(VOXELS.T, affine)
    image.set_qform(np.eye(4), qform_code)
    image.set_sform(affine, 1)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
@pytest.mark.parametrize("shear", [5e-3, 0.3, -1.0])
def test_a_sheared_sform_is_refused_with_a_tool(tmp_path, ending, shear):
    path = write_sheared(tmp_path / f"case_0000{ending}", shear)
    for check in (check_integrity, lambda file: read_volume([file])):
        error = error_of(check, path)
        assert (error.where, error.reason) == (
            str(path),
            "has a sheared grid: its axes are not perpendicular",
        )
        assert "nibabel.processing.resample_to_output" in error.remedy


def test_what_itk_itself_refuses_is_refused_in_the_same_words(tmp_path):
    path = write_sheared(tmp_path / "case_0000.nii.gz", 5e-4)
    assert error_of(read_volume, [path]).reason == "has a sheared grid: its axes are not perpendicular"


@pytest.mark.parametrize("shear", [0.0, 1e-5])
def test_rounding_is_no_shear(tmp_path, shear):
    volume = read_volume([write_sheared(tmp_path / "case_0000.nii.gz", shear)])
    np.testing.assert_array_equal(volume.array[0], VOXELS)
    assert volume.warnings == ()


def test_the_tool_makes_a_straight_grid(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    processing = pytest.importorskip("nibabel.processing")
    path = write_sheared(tmp_path / "case_0000.nii.gz", 0.3)
    nibabel.save(processing.resample_to_output(nibabel.load(path)), path)
    assert read_volume([path]).geometry.direction[1] == 0


def test_beside_a_qform_it_is_a_warning(tmp_path):
    path = write_sheared(tmp_path / "case_0000.nii.gz", 0.3, qform_code=1)
    volume = read_volume([path])
    assert volume.warnings == (f"{path}: its sform is sheared, its qform is taken",)
    assert volume.geometry.spacing_zyx_mm == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("ending", "straight", "sheared"),
    [
        (".nrrd", b"(0,2,0)", b"(1,2,0)"),
        (".mha", b"TransformMatrix = 1 0 0 0 1 0 0 0 1", b"TransformMatrix = 1 0 0 .6 .8 0 0 0 1"),
    ],
)
def test_other_formats_too(tmp_path, ending, straight, sheared):
    path = write_voxels(tmp_path / f"case_0000{ending}")
    content = path.read_bytes()
    assert straight in content
    path.write_bytes(content.replace(straight, sheared))
    error = error_of(read_volume, [path])
    assert (error.where, error.reason) == (str(path), "has a sheared grid: its axes are not perpendicular")
