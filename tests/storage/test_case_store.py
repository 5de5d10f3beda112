import os

import numpy as np
import pytest
from small_volumes import straight_grid

from dd_nnunet.core.case import CaseProperties, Geometry, PreparedCase
from dd_nnunet.core.errors import UserError
from dd_nnunet.storage.case_store import (
    CaseRecord,
    Manifest,
    read_array,
    read_case,
    read_properties,
    read_region,
    record_case,
    sha256_of_record,
    write_array,
    write_case,
)

GEOMETRY = straight_grid((4, 5, 6), (3.0, 2.0, 1.0))


def make_case(case_id="a", shape=(1, 4, 5, 6)):
    array = np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    properties = CaseProperties(
        case_id,
        GEOMETRY,
        (0, 0, 0),
        (4, 5, 6),
        shape[1:],
        (3.0, 2.0, 1.0),
        ((0.0, 99.5),) * shape[0],
        ("odd",),
    )
    return PreparedCase(array, properties)


@pytest.mark.parametrize("shape", [(1, 4, 5, 6), (2, 70, 3, 130), (1, 1, 1, 1)])
def test_round_trip(tmp_path, shape):
    case = make_case(shape=shape)
    write_case(tmp_path / "new", case)
    back = read_case(tmp_path / "new", "a")
    assert back.array.dtype == np.float32
    np.testing.assert_array_equal(back.array, case.array)
    assert back.properties == case.properties == read_properties(tmp_path / "new", "a")
    assert sorted(entry.name for entry in (tmp_path / "new").iterdir()) == ["a.b2nd", "a.json"]


@pytest.mark.parametrize("number_type", ["float16", "float32", "uint8", "int64"])
def test_arrays_of_any_shape_and_type(tmp_path, number_type):
    for shape in [(3,), (2, 3), (2, 3, 4), (2, 3, 4, 5, 6)]:
        array = np.arange(np.prod(shape)).reshape(shape).astype(number_type)
        write_array(tmp_path / "x.b2nd", array)
        back = read_array(tmp_path / "x.b2nd")
        assert back.dtype == number_type
        np.testing.assert_array_equal(back, array)


def test_a_strided_array(tmp_path):
    array = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    write_array(tmp_path / "x.b2nd", array.transpose(2, 0, 1)[::-1])
    np.testing.assert_array_equal(read_array(tmp_path / "x.b2nd"), array.transpose(2, 0, 1)[::-1])


def test_a_region_alone(tmp_path):
    array = np.arange(2 * 70 * 66 * 10, dtype=np.float32).reshape(2, 70, 66, 10)
    write_array(tmp_path / "x.b2nd", array)
    region = (slice(None), slice(60, 70), slice(1, 66), slice(3, 4))
    np.testing.assert_array_equal(read_region(tmp_path / "x.b2nd", region), array[region])


def test_the_same_array_gives_the_same_bytes(tmp_path):
    array = np.random.default_rng(0).random((1, 70, 40, 40), dtype=np.float32)
    for name in ("x.b2nd", "y.b2nd"):
        write_array(tmp_path / name, array)
    assert (tmp_path / "x.b2nd").read_bytes() == (tmp_path / "y.b2nd").read_bytes()


def test_a_cut_off_array_is_refused(tmp_path):
    write_array(tmp_path / "x.b2nd", np.arange(1000, dtype=np.float32))
    whole = (tmp_path / "x.b2nd").read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "x.b2nd").write_bytes(whole[:length])
        with pytest.raises(UserError, match="is damaged") as caught:
            read_array(tmp_path / "x.b2nd")
        assert caught.value.where == str(tmp_path / "x.b2nd")


def test_missing_files_name_the_next_command(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_case(tmp_path, "a")
    write_case(tmp_path, make_case())
    (tmp_path / "a.b2nd").unlink()
    with pytest.raises(UserError, match=r"a\.b2nd: does not exist; run dd_preprocess again"):
        read_case(tmp_path, "a")


def test_an_array_that_is_not_that_of_its_properties(tmp_path):
    write_case(tmp_path, make_case())
    write_array(tmp_path / "a.b2nd", np.zeros((1, 4, 5, 7), np.float32))
    with pytest.raises(UserError, match=r"holds float32 \(1, 4, 5, 7\)"):
        read_case(tmp_path, "a")


@pytest.mark.parametrize("case_id", ["../a", "a/b", "", "manifest", "Manifest"])
def test_ids_that_are_no_file_names(tmp_path, case_id):
    with pytest.raises(UserError):
        write_case(tmp_path, make_case(case_id))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def prepared(tmp_path):
    """A raw file, its prepared case, and the manifest that says so."""
    raw, folder = tmp_path / "a_0000.nii.gz", tmp_path / "prepared"
    raw.write_bytes(b"raw bytes")
    write_case(folder, make_case())
    manifest = Manifest().with_case("a", record_case("a", [raw], folder, "plan"))
    return raw, folder, manifest


def test_the_manifest_comes_back(prepared):
    _, folder, manifest = prepared
    assert Manifest.load(folder) == Manifest({})
    manifest.save(folder)
    assert Manifest.load(folder) == manifest
    assert manifest.cases["a"].raw_files[0].size_bytes == len(b"raw bytes")


def test_the_manifest_is_sorted(tmp_path):
    record = CaseRecord((), "1", "2", "3")
    Manifest().with_case("b", record).with_case("a", record).save(tmp_path)
    assert list(Manifest.load(tmp_path).cases) == ["a", "b"]


def test_a_prepared_case_is_current(prepared):
    raw, folder, manifest = prepared
    assert manifest.is_current("a", [raw], folder, "plan")
    # a copy has another time and the same bytes
    os.utime(raw, ns=(1, 1))
    assert manifest.is_current("a", [raw], folder, "plan")


def change_raw(raw, folder):
    raw.write_bytes(b"RAW bytes")
    os.utime(raw, ns=(1, 1))


CHANGES = {
    "raw file of the same size": change_raw,
    "raw file gone": lambda raw, folder: raw.unlink(),
    "array flipped": lambda raw, folder: (folder / "a.b2nd").write_bytes(b"other"),
    "array gone": lambda raw, folder: (folder / "a.b2nd").unlink(),
    "properties gone": lambda raw, folder: (folder / "a.json").unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_case_is_not_current(prepared, change):
    raw, folder, manifest = prepared
    CHANGES[change](raw, folder)
    assert not manifest.is_current("a", [raw], folder, "plan")


def test_another_configuration_channel_or_case_is_not_current(prepared):
    raw, folder, manifest = prepared
    assert not manifest.is_current("a", [raw], folder, "other plan")
    assert not manifest.is_current("a", [raw, raw], folder, "plan")
    assert not manifest.is_current("b", [raw], folder, "plan")


def test_a_detached_data_file_counts_as_raw(tmp_path):
    header, data, folder = tmp_path / "a_0000.mhd", tmp_path / "a.raw", tmp_path / "prepared"
    header.write_text("NDims = 3\nElementDataFile = a.raw\n", encoding="utf-8")
    data.write_bytes(b"1234")
    write_case(folder, make_case())
    manifest = Manifest().with_case("a", record_case("a", [header], folder, "plan"))
    assert [record.name for record in manifest.cases["a"].raw_files] == ["a_0000.mhd", "a.raw"]
    data.write_bytes(b"12345")
    assert not manifest.is_current("a", [header], folder, "plan")


def test_equal_records_have_equal_hashes():
    assert sha256_of_record(GEOMETRY) == sha256_of_record(Geometry(*vars(GEOMETRY).values()))
    assert sha256_of_record({"a": 1}) != sha256_of_record({"a": 2})
