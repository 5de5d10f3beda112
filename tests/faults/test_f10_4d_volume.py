"""F10: a 4-D file is refused with the way to split it, unless it holds one volume per channel name."""

import numpy as np
import pytest
import SimpleITK
from fault_files import VOXELS, description, error_of
from planned import make_faulty
from small_volumes import cell

from dd_nnunet.core.plan import ReadingPlan
from dd_nnunet.storage.case_store import read_case
from dd_nnunet.storage.integrity import check_integrity
from dd_nnunet.storage.raw_dataset import find_cases
from dd_nnunet.storage.volume import read_geometry, read_volume


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


@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
def test_a_series_with_one_volume_per_channel_is_those_channels(tmp_path, ending):
    channels = [VOXELS, VOXELS + 1, VOXELS + 2]
    series = SimpleITK.JoinSeries([SimpleITK.GetImageFromArray(channel) for channel in channels])
    path = tmp_path / f"a_0000{ending}"
    SimpleITK.WriteImage(series, str(path))
    (case,) = find_cases(tmp_path, description(("T1", "T2", "FLAIR"), ending))
    volume = read_volume(case.channel_files)
    np.testing.assert_array_equal(volume.array, channels)
    assert volume.geometry == read_geometry(path) and volume.geometry.size_xyz == (6, 5, 4)


def test_infinite_voxels_of_a_later_volume(tmp_path):
    array = VOXELS.astype(np.float32)
    array[1, 2, 3] = np.inf
    series = SimpleITK.JoinSeries(
        [SimpleITK.GetImageFromArray(a) for a in (VOXELS.astype(np.float32), array)]
    )
    path = tmp_path / "a_0000.nii.gz"
    SimpleITK.WriteImage(series, str(path))
    assert error_of(read_volume, [path, path]).reason.startswith("1 of 240 voxels are not finite")
    volume = read_volume([path, path], ReadingPlan(nan="median"))
    np.testing.assert_array_equal(volume.array[0], VOXELS)
    array[1, 2, 3] = np.median(np.delete(VOXELS.ravel(), 45))
    np.testing.assert_array_equal(volume.array[1], array)


def test_with_another_number_of_channels_it_is_refused(tmp_path):
    write_series(tmp_path / "a_0000.nii.gz", 2)
    error = error_of(find_cases, tmp_path, description(("T1", "T2", "FLAIR")))
    assert f"{tmp_path / 'a_0001.nii.gz'}: is missing" in error.lines[0]
    path = write_series(tmp_path / "b_0000.nii.gz", 2)
    assert error_of(check_integrity, path, 3).reason == "is 4-D (2 volumes in one file), 3-D is expected"
    truncated = path.read_bytes()[:-40]
    path.write_bytes(truncated)
    assert "is cut off" in error_of(read_volume, [path, path]).reason


def test_a_dataset_of_series_is_planned_and_prepared(tmp_path):
    dataset = make_faulty(
        tmp_path, {}, description={"channel_names": {"0": "T1", "1": "T2"}, "numTraining": 2}
    )
    (dataset.raw / "imagesTr").mkdir()
    for case in "ab":
        channels = [SimpleITK.GetImageFromArray(cell(number)) for number in range(2)]
        path = dataset.raw / "imagesTr" / f"{case}_0000.nii.gz"
        SimpleITK.WriteImage(SimpleITK.JoinSeries(channels), str(path))
    assert dataset.run() == 0
    prepared = read_case(dataset.preprocessed / "ddPlans_3d_fullres", "a")
    assert prepared.array.shape == (2, 16, 16, 16)
    assert dataset.run() == 0
