"""F06: NaN voxels are an error with their count, unless --nan says what they become; the plan keeps that."""

import gzip
import struct

import numpy as np
import pytest
from fault_files import ENDINGS, VOXELS, error_of, write_voxels
from planned import make_faulty
from predicting import make_toy
from small_volumes import cell, cells

from dd_nnunet.commands import convert, plan_and_preprocess
from dd_nnunet.core.json_record import record_from_json
from dd_nnunet.core.plan import Plan, ReadingPlan
from dd_nnunet.storage.atomic import read_json, write_json
from dd_nnunet.storage.volume import read_volume


@pytest.mark.parametrize("ending", ENDINGS)
def test_nan_voxels_are_counted(tmp_path, ending):
    array = VOXELS.astype(np.float32)
    array[0, 0, :3] = np.nan
    path = write_voxels(tmp_path / f"case_0000{ending}", array)
    error = error_of(read_volume, [path])
    assert error.where == str(path)
    assert error.reason == "3 of 120 voxels are not finite (3 NaN, 0 infinite)"


@pytest.mark.parametrize("number_type", ["<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_every_kind_of_float_in_nifti(tmp_path, ending, number_type):
    nibabel = pytest.importorskip("nibabel")
    array = VOXELS.astype(number_type)
    array[-1, -1, -1] = np.nan
    header = nibabel.Nifti1Header(endianness=number_type[0])
    header.set_data_dtype(number_type)
    path = tmp_path / f"case_0000{ending}"
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4), header), path)
    assert error_of(read_volume, [path]).reason == "1 of 120 voxels are not finite (1 NaN, 0 infinite)"


def test_more_voxels_than_one_piece(tmp_path):
    array = np.zeros((70, 70, 70), np.float32)
    array[0, 0, 0] = array[35, 0, 1] = array[-1, -1, -1] = np.nan
    path = write_voxels(tmp_path / "case_0000.nii.gz", array)
    assert error_of(read_volume, [path]).reason == "3 of 343000 voxels are not finite (3 NaN, 0 infinite)"


# as VOXELS, without the first three
REPLACED = VOXELS.astype(np.float32)
REPLACED[0, 0, :3] = np.nan
MEDIAN = float(np.nanmedian(REPLACED))


@pytest.mark.parametrize(("nan", "value"), [("zero", 0.0), ("median", MEDIAN)])
@pytest.mark.parametrize("ending", ENDINGS)
def test_with_the_flag_they_become_a_number_and_a_warning(tmp_path, ending, nan, value):
    path = write_voxels(tmp_path / f"case_0000{ending}", REPLACED)
    volume = read_volume([path], ReadingPlan(nan=nan))
    expected = VOXELS.astype(np.float32)
    expected[0, 0, :3] = value
    np.testing.assert_array_equal(volume.array[0], expected)
    words = f"3 of 120 voxels are not finite and became {value:g} (--nan {nan})"
    assert volume.warnings == (f"{path}: {words}",)


@pytest.mark.parametrize(("nan", "value"), [("zero", 0.0), ("median", 8.5)])
def test_rescaled_voxels_too(tmp_path, nan, value):
    """ITK's NIfTI reader puts 0 there before it rescales, which would be 10 here."""
    nibabel = pytest.importorskip("nibabel")
    array = np.full((3, 3, 3), -3.0, np.float32)
    array[1, 2, 0] = np.nan
    path = tmp_path / "case_0000.nii.gz"
    nibabel.save(nibabel.Nifti1Image(array.T, np.eye(4)), path)
    content = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<2f", content, 112, 0.5, 10.0)
    path.write_bytes(gzip.compress(content))
    expected = np.full((3, 3, 3), 8.5, np.float32)
    expected[1, 2, 0] = value
    np.testing.assert_array_equal(read_volume([path], ReadingPlan(nan=nan)).array[0], expected)


def test_a_sound_volume_stays_as_it_is(tmp_path):
    path = write_voxels(tmp_path / "case_0000.nii.gz")
    volume = read_volume([path], ReadingPlan(nan="zero"))
    np.testing.assert_array_equal(volume.array[0], VOXELS)
    assert volume.warnings == ()


def test_a_channel_without_any_number_has_no_median(tmp_path):
    path = write_voxels(tmp_path / "case_0000.nii.gz", np.full((2, 2, 2), np.nan, np.float32))
    error = error_of(read_volume, [path], ReadingPlan(nan="median"))
    assert error.reason == "8 of 8 voxels are not finite (8 NaN, 0 infinite)"
    assert not read_volume([path], ReadingPlan(nan="zero")).array.any()


def with_hole(number):
    array = cell(number)
    array[:2, :2, :2] = np.nan
    return array


def test_by_default_nothing_is_planned_and_the_flag_is_named(tmp_path, capsys):
    dataset = make_faulty(tmp_path, {**cells(2), "hole": with_hole(2), "other": with_hole(3)})
    assert dataset.run() == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("_0000")[0].split("/")[-1] for line in lines] == ["hole", "other"]
    assert all("8 of 4096 voxels" in line and "--nan zero or --nan median" in line for line in lines)
    assert dataset.written == []


def test_a_command_without_the_flag_does_not_name_it(tmp_path, capsys):
    dataset = make_faulty(tmp_path, {"hole": with_hole(2)})
    source = ["-i", str(dataset.raw / "imagesTr"), "--one_channel", "-d", "8", "-n", "Copy"]
    assert convert.main_folder([*source, "--no_pbar", "--raw", str(tmp_path / "copy")]) == 2
    error = capsys.readouterr().err
    assert "8 of 4096 voxels are not finite" in error and "; replace them by numbers in the file\n" in error


def test_the_flag_is_kept_in_the_plan_with_its_reason_and_told(tmp_path, capsys):
    dataset = make_faulty(tmp_path, {**cells(2), "hole": with_hole(2)})
    assert dataset.run("--nan", "median") == 0
    assert "hole_0000.nii.gz: 8 of 4096 voxels are not finite and became" in capsys.readouterr().out
    plan = dataset.json("ddPlans.json")
    assert plan["configurations"]["3d_fullres"]["reading"]["nan"] == "median"
    assert "NaN and infinite voxels" in [decision["name"] for decision in plan["decisions"]]
    assert len(dataset.json("dataset_fingerprint.json")["warnings"]) == 1
    assert dataset.prepared_cases == ["cell_0", "cell_1", "hole"]


def test_the_step_that_prepares_does_as_the_plan_says(tmp_path):
    dataset = make_faulty(tmp_path, {**cells(2), "hole": with_hole(2)})
    assert dataset.run("--nan", "zero", "--no_pp") == 0
    assert dataset.run_step(plan_and_preprocess.main_preprocess, "-np", "0") == 0
    assert dataset.prepared_cases == ["cell_0", "cell_1", "hole"]


def test_another_choice_prepares_all_anew_and_a_plan_without_it_reads_strictly(tmp_path, capsys):
    dataset = make_faulty(tmp_path, {**cells(2), "hole": with_hole(2)})
    dataset.run("--nan", "zero")
    capsys.readouterr()
    assert dataset.run("--nan", "median") == 0
    assert "3 cases prepared:" in capsys.readouterr().out
    plan = dataset.json("ddPlans.json")
    del plan["configurations"]["3d_fullres"]["reading"]
    assert record_from_json(Plan, plan, "old plan").configuration("3d_fullres").reading == ReadingPlan()


def test_a_fingerprint_read_in_another_way_is_not_trusted(tmp_path, capsys):
    dataset = make_faulty(tmp_path, {**cells(2), "hole": with_hole(2)})
    dataset.run("--nan", "zero", "--no_pp")
    assert dataset.run("--nan", "zero", "--no_pp", "--no_verify") == 0
    assert "not verified again" in capsys.readouterr().out
    assert dataset.run("--no_pp", "--no_verify") == 2


@pytest.mark.parametrize(("nan", "state"), [("refuse", "failed"), ("zero", "done")])
def test_prediction_reads_new_volumes_as_the_plan_says(tmp_path, nan, state):
    toy = make_toy(tmp_path)
    plan = read_json(toy.model / "plans.json")
    plan["configurations"]["3d_fullres"]["reading"]["nan"] = nan
    write_json(toy.model / "plans.json", plan)
    write_voxels(toy.images / "new_0000.nii.gz", with_hole(0))
    toy.predict()
    assert toy.states == {"new": state}
    record = toy.record["cases"]["new"]
    assert "8 of 4096 voxels are not finite" in (record.get("reason") or record["warnings"][0])
