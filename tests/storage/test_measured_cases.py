"""What was measured of a case counts while its files, the way of measuring and its own bytes are the same."""

import json
import os
from dataclasses import replace

import pytest
from made_fingerprint import make_case

from dd_nnunet.core.dataset import CaseFiles
from dd_nnunet.storage.measured_cases import MeasuredCases, record_measured, remove_measured


@pytest.fixture
def case(tmp_path):
    file = tmp_path / "raw" / "case_000_0000.nii.gz"
    file.parent.mkdir()
    file.write_bytes(b"voxels")
    return CaseFiles("case_000", (file,))


@pytest.fixture
def store(tmp_path):
    return MeasuredCases(tmp_path / "measured", "one way")


def kept(store, case, warnings=()):
    measured = record_measured(make_case(diameters_mm=(0.1 + 0.2, 1 / 3)), warnings, case.channel_files)
    store.keep(case.case_id, measured)
    return measured


def entry(store):
    return store.folder / "case_000.json"


def test_what_was_kept_comes_back_to_the_last_digit(store, case):
    assert store.current([case]) == {}
    measured = kept(store, case, ("odd",))
    assert store.current([case]) == {"case_000": measured}
    assert entry(store).read_text().endswith("}\n")


def test_files_are_known_by_size_and_time_else_by_their_bytes(store, case):
    measured = kept(store, case)
    (file,) = case.channel_files
    os.utime(file, ns=(1, 1))
    assert store.current([case]) == {"case_000": measured}
    file.write_bytes(b"VOXELS")
    assert store.current([case]) == {}
    file.write_bytes(b"more voxels")
    assert store.current([case]) == {}


def test_another_channel_is_another_case(store, case):
    kept(store, case)
    second = case.channel_files[0].with_name("case_000_0001.nii.gz")
    second.write_bytes(b"voxels")
    assert store.current([replace(case, channel_files=(*case.channel_files, second))]) == {}


def test_what_was_measured_otherwise_is_left_without_a_word(store, case, caplog):
    kept(store, case)
    assert replace(store, made_by="another way").current([case]) == {}
    # and may have other keys
    entry(store).write_text(json.dumps({"made_by": "an old way", "size": 3}))
    assert store.current([case]) == {}
    assert not caplog.records


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[:100], "is not valid JSON"),
        (lambda text: text.replace("0.30000000000000004", "0.30000000000000009"), "its checksum is another"),
        (lambda text: text.replace('"raw_files"', '"raw_filed"'), "raw_file"),
        (lambda text: "[]", "$ is []"),
    ],
    ids=("cut off", "a digit", "a key", "no record"),
)
def test_a_damaged_entry_is_told_and_does_not_count(store, case, caplog, damage, said):
    kept(store, case)
    entry(store).write_text(damage(entry(store).read_text()))
    assert store.current([case]) == {}
    (record,) = caplog.records
    assert record.getMessage().startswith(f"warning: {entry(store)}: is damaged (")
    assert said in record.getMessage() and record.getMessage().endswith("; the case is measured again")


def test_warnings_name_files_where_they_are(store, case, tmp_path):
    kept(store, case)
    moved = replace(case, channel_files=(tmp_path / "moved" / case.channel_files[0].name,))
    case.channel_files[0].parent.rename(tmp_path / "moved")
    assert list(store.current([moved])) == ["case_000"]
    kept(store, moved, (f"{moved.channel_files[0]}: is odd",))
    (tmp_path / "moved").rename(tmp_path / "raw")
    assert store.current([case]) == {}


def test_an_entry_of_another_case_does_not_count(store, case):
    kept(store, case)
    entry(store).rename(store.folder / "case_001.json")
    assert store.current([replace(case, case_id="case_001")]) == {}


def test_others_are_dropped(store, case):
    kept(store, case)
    store.keep("case_001", record_measured(make_case(1), (), case.channel_files))
    store.drop_others(["case_000"])
    assert [path.name for path in store.folder.iterdir()] == ["case_000.json"]
    remove_measured(store.folder)
    assert not list(store.folder.iterdir())
