"""F35: non-ASCII names, spaces and paths of 250 characters work for every file we read or write."""

import os
import subprocess
import sys

import numpy as np
import pytest
from evaluated import evaluate_arrays
from fault_files import ENDINGS, VOXELS, description, geometry, write_voxels
from planned import make_faulty
from predicting import make_toy, noise
from small_volumes import cell

from dd_nnunet.commands import verify
from dd_nnunet.core.case import CaseProperties, PreparedCase
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.case_store import read_case, write_case
from dd_nnunet.storage.raw_dataset import find_cases
from dd_nnunet.storage.run_folder import open_run_folder
from dd_nnunet.storage.volume import read_volume

CASE_ID = "患者_" + "ä" * 50


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "Fälle 患者"
    # paths of more than 250 characters
    folder /= "d" * max(1, 250 - len(str(folder)))
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("ending", ENDINGS)
def test_volumes(folder, ending):
    write_voxels(folder / f"{CASE_ID}_0000{ending}")
    (case,) = find_cases(folder, description(ending=ending))
    assert case.case_id == CASE_ID
    np.testing.assert_array_equal(read_volume(case.channel_files).array[0], VOXELS)


def test_prepared_cases(folder):
    array = VOXELS[None].astype(np.float32)
    properties = CaseProperties(
        CASE_ID, geometry(), (0, 0, 0), (4, 5, 6), (4, 5, 6), (3.0, 2.0, 1.0), ((0.0, 1.0),), ("schräg",)
    )
    write_case(folder, PreparedCase(array, properties))
    case = read_case(folder, CASE_ID)
    assert case.properties == properties
    np.testing.assert_array_equal(case.array, array)


def test_run_folders(folder):
    with open_run_folder(folder / "läuft", {"name": "患者"}) as run:
        run.append_log({"case": "Fälle 患者"})
        run.logger.info("größer")
        assert run.read_log() == [{"case": "Fälle 患者"}]
    (text_log,) = (folder / "läuft").glob("training_log_*.txt")
    assert "größer" in text_log.read_text(encoding="utf-8")


def test_a_name_as_long_as_the_file_system_allows(tmp_path):
    path = tmp_path / ("n" * (255 - len(".nii.gz")) + ".nii.gz")
    write_voxels(path)
    np.testing.assert_array_equal(read_volume([path]).array[0], VOXELS)


def test_a_dataset_is_verified_planned_and_prepared_there(folder, capsys):
    dataset = make_faulty(folder / "Ordner mit Leerzeichen", {CASE_ID: cell(0), "zwei": cell(1)})
    assert dataset.run_step(verify.main, "-np", "0") == 0
    assert dataset.run() == 0
    assert dataset.prepared_cases == sorted([CASE_ID, "zwei"])
    assert dataset.json("splits_final.json")[0]["val"] in ([CASE_ID], ["zwei"])
    (dataset.raw / "imagesTr" / f"{CASE_ID}_0000.nii.gz").write_bytes(b"")
    capsys.readouterr()
    assert dataset.run() == 2
    assert f"{CASE_ID}_0000.nii.gz: is empty" in capsys.readouterr().err


def test_label_maps_are_scored_there(folder):
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[1:3] = 1
    named = {"Hintergrund": 0, "größe 患者": 1}
    summary = evaluate_arrays(folder, {CASE_ID: labels}, {CASE_ID: labels}, named, n_parts=2)
    assert summary["label_map"]["größe 患者"] == 1
    assert read_json(folder / "out" / "label_map.json") == {"Hintergrund": 0, "größe 患者": 1}


def test_they_are_predicted_there(folder):
    toy = make_toy(folder)
    toy.add_image(CASE_ID, noise())
    assert toy.predict() == 0
    assert toy.labels(2, CASE_ID).shape == (12, 14, 16)
    assert toy.states == {CASE_ID: "done"}


@pytest.mark.parametrize("encoding", ["cp1252"])
def test_a_console_of_another_encoding_stops_nothing(tmp_path, encoding):
    dataset = make_faulty(tmp_path / "Fälle 患者", {"患者": cell(0)})
    (dataset.raw / "imagesTr" / "Notizen 患者.txt").write_text("x", encoding="utf-8")
    program = "import sys; from dd_nnunet.commands.verify import main; sys.exit(main(sys.argv[1:]))"
    arguments = [sys.executable, "-c", program, "-d", "5", "-np", "0", "--no_pbar", *dataset.flags]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(arguments, capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"is no volume and is left out" in done.stdout and b"sound, 1 case, 1 warning" in done.stdout
