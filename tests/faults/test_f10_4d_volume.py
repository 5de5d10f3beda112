import numpy as np
import pytest
import SimpleITK
from fault_files import VOXELS, error_of

from dd_nnunet.storage.integrity import check_integrity
from dd_nnunet.storage.volume import read_volume


def write_series(path, n_volumes):
    volume = SimpleITK.GetImageFromArray(VOXELS)
    SimpleITK.WriteImage(SimpleITK.JoinSeries([volume] * n_volumes), str(path), useCompression=True)
    return path


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_a_series_is_refused_with_the_way_to_split_it(tmp_path, ending):
    path = write_series(tmp_path / f"case_0000{ending}", 2)
    error = error_of(check_integrity, path)
    assert (error.where, error.reason) == (str(path), "is 4-D (2 volumes in one file), 3-D is expected")
    assert "case_0000, case_0001" in error.remedy
    assert "image[:, :, :, 0]" in error.remedy


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_a_series_of_one_volume_is_that_volume(tmp_path, ending):
    volume = read_volume([write_series(tmp_path / f"case_0000{ending}", 1)])
    np.testing.assert_array_equal(volume.array, VOXELS[None])
    assert volume.geometry.size_xyz == (6, 5, 4)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha", ".tif"])
def test_a_single_slice_is_refused(tmp_path, ending):
    path = tmp_path / f"case_0000{ending}"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(VOXELS[0]), str(path))
    assert error_of(read_volume, [path]).reason == "is a 2-D image, 3-D volumes are expected"
