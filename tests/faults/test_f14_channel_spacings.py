"""F14: channels whose spacings differ by over a thousandth are an error, below that a warning."""

from fault_files import error_of, write_voxels
from planned import make_faulty
from small_volumes import cell

from dd_nnunet.storage.volume import read_volume


def two_channels(folder, z_spacing_mm):
    return [
        write_voxels(folder / "case_0000.nrrd"),
        write_voxels(folder / "case_0001.nrrd", spacing_xyz_mm=(1.0, 2.0, z_spacing_mm)),
    ]


def test_beyond_a_thousandth_is_refused(tmp_path):
    files = two_channels(tmp_path, 3.0 * 1.002)
    error = error_of(read_volume, files)
    assert error.where == str(files[1])
    assert error.reason == "has the spacing 1×2×3.006 mm, case_0000.nrrd has 1×2×3 mm"


def test_below_is_warned_of(tmp_path):
    files = two_channels(tmp_path, 3.0 * 1.0005)
    volume = read_volume(files)
    assert volume.geometry.spacing_zyx_mm == (3.0, 2.0, 1.0)
    assert volume.warnings == (f"{files[1]}: its spacing differs by 0.0005 from that of case_0000.nrrd",)


def test_the_warning_is_told_and_reaches_the_report(tmp_path, capsys):
    described = {"channel_names": {"0": "light", "1": "dark"}, "numTraining": 1}
    dataset = make_faulty(tmp_path, {}, description=described)
    images = dataset.raw / "imagesTr"
    lies = {"origin_xyz_mm": (0.0, 0.0, 0.0)}
    write_voxels(images / "a_0000.nii.gz", cell(0), spacing_xyz_mm=(1.0, 1.0, 1.0), **lies)
    write_voxels(images / "a_0001.nii.gz", cell(1), spacing_xyz_mm=(1.0, 1.0, 1.0005), **lies)
    assert dataset.run() == 0
    warning = f"{images / 'a_0001.nii.gz'}: its spacing differs by 0.0005 from that of a_0000.nii.gz"
    assert f"warning: {warning}" in capsys.readouterr().out
    assert warning in dataset.json("dataset_fingerprint.json")["warnings"]
    assert dataset.prepared_cases == ["a"]


def test_rounding_is_not(tmp_path):
    assert read_volume(two_channels(tmp_path, 3.0000001)).warnings == ()
