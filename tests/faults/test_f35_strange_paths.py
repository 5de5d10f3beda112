import numpy as np
import pytest
from fault_files import ENDINGS, VOXELS, description, geometry, write_volume

from dd_nnunet.core.case import CaseProperties, PreparedCase
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
    write_volume(folder / f"{CASE_ID}_0000{ending}")
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
    write_volume(path)
    np.testing.assert_array_equal(read_volume([path]).array[0], VOXELS)
