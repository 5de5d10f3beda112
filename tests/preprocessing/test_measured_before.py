"""A dataset that grows is measured where it is new; the fingerprint is that of a fresh measurement, bit by bit."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_fingerprint import make_case
from small_dataset import make_dataset
from small_volumes import write_volume

from dd_nnunet.commands import plan_and_preprocess as command
from dd_nnunet.core.case import Geometry, Volume
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.fingerprint import CaseFingerprint
from dd_nnunet.core.json_record import record_from_json, record_to_json
from dd_nnunet.core.plan import STRICT, ReadingPlan
from dd_nnunet.planning.fingerprinting import MEASUREMENT_VERSION, fingerprint_case
from dd_nnunet.preprocessing import dataset as room
from dd_nnunet.preprocessing.dataset import fingerprint_dataset
from dd_nnunet.preprocessing.parallel import Workers
from dd_nnunet.storage.raw_dataset import find_cases, load_description

HERE = Workers(0)
GOLDEN = Path(__file__).parents[1] / "golden" / "one_measured_case.json"


@pytest.fixture
def dataset(tmp_path):
    made = make_dataset(tmp_path)
    shutil.rmtree(made.folders.preprocessed)
    return made


@pytest.fixture
def read(monkeypatch):
    """Ids of the cases that were read since."""
    ids = []
    real = room._read

    def noting(case, reading):
        ids.append(case.case_id)
        return real(case, reading)

    monkeypatch.setattr(room, "_read", noting)
    return ids


def cases_of(dataset):
    return find_cases(dataset.folders.images_tr, load_description(dataset.folders))


def measure(dataset, reading=STRICT, workers=HERE):
    kept_in = dataset.folders.measured_cases
    return fingerprint_dataset("x", cases_of(dataset), workers, reading, kept_in)


def entries(dataset):
    return sorted(path.stem for path in dataset.folders.measured_cases.iterdir())


def write_other(dataset, case, offset=0.0):
    image = np.random.default_rng(9).normal(100 + offset, 20, (12, 14, 16)).astype(np.float32)
    write_volume(dataset.folders.images_tr / f"{case}_0000.nii.gz", image, (2.0, 1.0, 1.0))


def test_a_second_time_nothing_is_read_and_all_is_the_same(dataset, read):
    fresh = fingerprint_dataset("x", cases_of(dataset), HERE)
    assert measure(dataset, workers=Workers(2)) == fresh
    read.clear()
    assert measure(dataset) == fresh
    assert read == [] and entries(dataset) == list("abcde")


def test_an_added_and_a_changed_case_are_measured_and_a_removed_one_is_dropped(dataset, read):
    measure(dataset)
    write_other(dataset, "f")
    write_other(dataset, "c", offset=50)
    (dataset.folders.images_tr / "a_0000.nii.gz").unlink()
    read.clear()
    found = measure(dataset)
    assert read == ["c", "f"] and entries(dataset) == list("bcdef")
    assert found == fingerprint_dataset("x", cases_of(dataset), HERE)


def test_a_damaged_entry_is_measured_again(dataset, read, caplog):
    fresh = measure(dataset)
    entry = dataset.folders.measured_cases / "b.json"
    whole = entry.read_bytes()
    entry.write_bytes(whole[:-20])
    read.clear()
    assert measure(dataset) == fresh
    assert read == ["b"] and entry.read_bytes() == whole
    assert "b.json: is damaged (is not valid JSON" in caplog.text


@pytest.mark.parametrize("name", ["SCHEMA_VERSION", "MEASUREMENT_VERSION"])
def test_all_are_measured_again_where_another_version_measures(dataset, read, monkeypatch, name):
    measure(dataset)
    monkeypatch.setattr(room, name, 99)
    read.clear()
    measure(dataset)
    assert read == list("abcde")


def test_all_are_measured_again_where_they_are_read_in_another_way(dataset, read):
    measure(dataset)
    read.clear()
    assert measure(dataset, ReadingPlan(nan="zero")).reading.nan == "zero"
    assert read == list("abcde")


def test_the_good_cases_are_kept_although_one_is_bad(dataset, read):
    bad = dataset.folders.images_tr / "b_0000.nii.gz"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:-50])
    with pytest.raises(UserError, match=r"b_0000\.nii\.gz"):
        measure(dataset)
    bad.write_bytes(whole)
    read.clear()
    measure(dataset)
    assert read == ["b"]


def test_warnings_of_files_are_told_each_time(dataset):
    image = np.arange(12 * 14 * 16, dtype=np.float32).reshape(12, 14, 16)
    image[0, 0, 0] = np.nan
    write_volume(dataset.folders.images_tr / "b_0000.nii.gz", image, (2.0, 1.0, 1.0))
    first, again = (measure(dataset, ReadingPlan(nan="zero")) for _ in range(2))
    assert first.warnings == again.warnings
    assert any("b_0000.nii.gz: 1 of 2688 voxels" in warning for warning in again.warnings)


def run(dataset, capsys, *more, step=command.main):
    assert step(["-d", "7", "-np", "0", *dataset.flags, *more]) == 0
    return capsys.readouterr().out


def test_the_command_says_how_many_and_clean_measures_all(dataset, read, capsys):
    assert "measured before" not in run(dataset, capsys, "--no_pp")
    first = dataset.folders.fingerprint_json.read_bytes()
    write_other(dataset, "f")
    assert "fingerprint: 5 of 6 cases measured before\n" in run(dataset, capsys, "--no_pp")
    (dataset.folders.images_tr / "f_0000.nii.gz").unlink()
    assert "fingerprint: 5 of 5 cases measured before\n" in run(
        dataset, capsys, step=command.main_fingerprint
    )
    assert dataset.folders.fingerprint_json.read_bytes() == first
    for step, flags in ((command.main, ["--no_pp", "--clean"]), (command.main_fingerprint, ["--clean"])):
        read.clear()
        assert "measured before" not in run(dataset, capsys, *flags, step=step)
        assert read == list("abcde")
    assert dataset.folders.fingerprint_json.read_bytes() == first


def test_the_version_is_raised_with_what_is_measured():
    """Where this fails after a wanted change: raise MEASUREMENT_VERSION, and run this file to write them anew."""
    golden = json.loads(GOLDEN.read_text())
    assert golden["version"] == MEASUREMENT_VERSION
    found = _numbers(record_to_json(_sample()))
    assert found == pytest.approx(_numbers(golden["fingerprint"]), rel=1e-3, abs=5e-4)
    assert record_from_json(CaseFingerprint, golden["fingerprint"], GOLDEN).case_id == "sample"


def test_numbers_are_found_by_hand():
    data = record_to_json(make_case())
    assert _numbers({"a": [1, {"b": 2.5}], "c": "x", "d": True}) == {"a.0": 1.0, "a.1.b": 2.5, "d": 1.0}
    assert _numbers(data)["shape_zyx.2"] == 50


def _sample():
    """Two balls in a ball, with noise, the ground at 0."""
    z, y, x = np.indices((24, 28, 32)) + 0.5
    image = 100.0 * ((z - 12) ** 2 + (y - 14) ** 2 + (x - 16) ** 2 < 11**2)
    for centre in (10, 22):
        image += 150.0 * ((z - 12) ** 2 + (y - 14) ** 2 + (x - centre) ** 2 < 4**2)
    image += np.random.default_rng(0).normal(0, 8, image.shape) * (image > 0)
    geometry = Geometry((32, 28, 24), (1.0, 1.0, 1.5), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    return fingerprint_case(Volume(image[None].astype(np.float32), geometry, ("float32",)), "sample")


def _numbers(data, path=""):
    if isinstance(data, dict):
        pairs = data.items()
    elif isinstance(data, list):
        pairs = enumerate(data)
    else:
        return {path[1:]: float(data)} if isinstance(data, int | float) else {}
    return {key: value for name, each in pairs for key, value in _numbers(each, f"{path}.{name}").items()}


if __name__ == "__main__":
    written = {"version": MEASUREMENT_VERSION, "fingerprint": record_to_json(_sample())}
    GOLDEN.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
