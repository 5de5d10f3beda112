import json
from dataclasses import replace

import numpy as np
import pytest
from small_dataset import CASES, make_dataset
from small_plan import AT_1_MM, configuration_at

from dd_nnunet.core.errors import ManyErrors, UserError
from dd_nnunet.preprocessing.case_memory import (
    bytes_to_fingerprint,
    bytes_to_preprocess,
    largest_to_fingerprint,
    largest_to_preprocess,
)
from dd_nnunet.preprocessing.dataset import Prepared, fingerprint_dataset, preprocess_dataset
from dd_nnunet.preprocessing.parallel import Workers
from dd_nnunet.storage.atomic import sha256_of
from dd_nnunet.storage.case_store import Manifest, read_case
from dd_nnunet.storage.folder_lock import locked
from dd_nnunet.storage.raw_dataset import find_cases, load_description

HERE = Workers(0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.fixture
def cases(dataset):
    return find_cases(dataset.folders.images_tr, load_description(dataset.folders))


def hashes(folder):
    return {path.name: sha256_of(path) for path in folder.iterdir() if path.suffix in (".b2nd", ".json")}


def test_fingerprint_is_the_same_in_processes_and_here(cases):
    here = fingerprint_dataset("x", cases, HERE)
    assert fingerprint_dataset("x", cases, Workers(2)) == here
    assert [case.case_id for case in here.cases] == list(CASES)
    assert here.median_spacing_zyx_mm == (2.0, 1.0, 1.0)


def test_all_bad_cases_are_listed_at_once(cases, tmp_path):
    bad = []
    for number, case in enumerate(cases):
        (file,) = case.channel_files
        copy = tmp_path / file.name
        copy.write_bytes(file.read_bytes()[: -100 if number in (1, 3) else None])
        bad.append(replace(case, channel_files=(copy,)))
    with pytest.raises(ManyErrors) as caught:
        fingerprint_dataset("x", bad, HERE)
    assert [line.split(":")[0] for line in caught.value.lines] == [
        str(tmp_path / f"{name}_0000.nii.gz") for name in "bd"
    ]


def test_processes_write_the_same_bytes(cases, tmp_path):
    assert preprocess_dataset(cases, AT_1_MM, tmp_path / "here", HERE) == Prepared(5, 0)
    assert preprocess_dataset(cases, AT_1_MM, tmp_path / "two", Workers(2)) == Prepared(5, 0)
    assert hashes(tmp_path / "here") == hashes(tmp_path / "two")
    # the crop of case a: z doubled from 2 mm to 1 mm
    assert read_case(tmp_path / "two", "a").array.shape == (1, 24, 14, 16)


def test_a_second_run_does_nothing(cases, tmp_path):
    preprocess_dataset(cases, AT_1_MM, tmp_path, HERE)
    before = hashes(tmp_path)
    assert preprocess_dataset(cases, AT_1_MM, tmp_path, HERE) == Prepared(0, 5)
    assert hashes(tmp_path) == before


def test_damaged_and_missing_files_are_made_again(cases, tmp_path):
    preprocess_dataset(cases, AT_1_MM, tmp_path, HERE)
    before = hashes(tmp_path)
    content = bytearray((tmp_path / "b.b2nd").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "b.b2nd").write_bytes(content)
    (tmp_path / "d.json").unlink()
    assert preprocess_dataset(cases, AT_1_MM, tmp_path, HERE) == Prepared(2, 3)
    assert hashes(tmp_path) == before


def test_an_interrupted_run_goes_on(cases, tmp_path):
    preprocess_dataset(cases[:2], AT_1_MM, tmp_path / "resumed", HERE)
    assert preprocess_dataset(cases, AT_1_MM, tmp_path / "resumed", HERE) == Prepared(3, 2)
    preprocess_dataset(cases, AT_1_MM, tmp_path / "once", HERE)
    assert hashes(tmp_path / "resumed") == hashes(tmp_path / "once")


def test_another_spacing_prepares_all_anew_another_batch_size_nothing(cases, tmp_path):
    preprocess_dataset(cases, AT_1_MM, tmp_path, HERE)
    other = replace(AT_1_MM, diffusion=replace(AT_1_MM.diffusion, batch_size=3))
    assert preprocess_dataset(cases, other, tmp_path, HERE) == Prepared(0, 5)
    assert preprocess_dataset(cases, configuration_at((2.0, 2.0, 2.0)), tmp_path, HERE) == Prepared(5, 0)


def test_clean_prepares_all_anew(cases, tmp_path):
    preprocess_dataset(cases, AT_1_MM, tmp_path, HERE)
    (tmp_path / "old_case.b2nd").write_bytes(b"x")
    assert preprocess_dataset(cases, AT_1_MM, tmp_path, HERE, clean=True) == Prepared(5, 0)
    assert not (tmp_path / "old_case.b2nd").exists()


def test_cases_that_left_the_dataset_leave_the_manifest(cases, tmp_path):
    preprocess_dataset(cases, AT_1_MM, tmp_path, HERE)
    preprocess_dataset(cases[1:], AT_1_MM, tmp_path, HERE)
    assert list(Manifest.load(tmp_path).cases) == list("bcde")


def test_the_good_cases_are_prepared_although_one_is_bad(cases, tmp_path):
    bad = tmp_path / "b_0000.nii.gz"
    bad.write_bytes(b"no volume")
    mixed = [cases[0], replace(cases[1], channel_files=(bad,)), cases[2]]
    with pytest.raises(UserError, match=r"b_0000\.nii\.gz"):
        preprocess_dataset(mixed, AT_1_MM, tmp_path / "out", HERE)
    assert list(Manifest.load(tmp_path / "out").cases) == ["a", "c"]
    assert sorted(hashes(tmp_path / "out")) == ["a.b2nd", "a.json", "c.b2nd", "c.json", "manifest.json"]


def test_two_runs_at_once_are_refused(cases, tmp_path):
    with locked(tmp_path), pytest.raises(UserError, match="is in use by process"):
        preprocess_dataset(cases, AT_1_MM, tmp_path, HERE)


def test_a_prepared_case_says_where_it_came_from(cases, tmp_path):
    preprocess_dataset(cases[:1], AT_1_MM, tmp_path, HERE)
    properties = json.loads((tmp_path / "a.json").read_text())
    assert properties["geometry"]["origin_xyz_mm"] == [5.0, -3.0, 2.0]
    assert properties["crop_start_zyx"] == [0, 0, 0] and properties["crop_stop_zyx"] == [12, 14, 16]
    array = read_case(tmp_path, "a").array
    assert array.dtype == np.float32 and array.min() == 0 and array.max() == 1


def test_memory_is_estimated_for_the_largest_case(cases):
    assert largest_to_fingerprint(cases) == bytes_to_fingerprint((12, 14, 16), 1)
    fingerprint = fingerprint_dataset("x", cases, HERE)
    expected = bytes_to_preprocess((12, 14, 16), (24, 14, 16), 1)
    assert largest_to_preprocess(fingerprint.cases, AT_1_MM) == expected
    # 0.3 GB for the process, then 28 bytes per raw and 12 per prepared voxel
    assert expected == 0.3e9 + 28 * 12 * 14 * 16 + 12 * 24 * 14 * 16
