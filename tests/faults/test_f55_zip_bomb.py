"""F55: no file of a few bytes takes gigabytes, hours or a crash: zip bombs, duplicates, huge and deep JSON."""

import copy
import json
import struct
import time
import zipfile

import pytest
from fault_files import error_of
from model_zips import Zip, refused, sound_zip
from small_model import MODEL

from dd_nnunet.core import json_record
from dd_nnunet.core.fingerprint import DatasetFingerprint
from dd_nnunet.core.json_record import DEEPEST_JSON, parse_json, record_from_json
from dd_nnunet.storage import model_archive
from dd_nnunet.storage.atomic import read_json, read_record

ZEROS = bytes(20_000_000)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return sound_zip(tmp_path_factory.mktemp("sound"))


def changed_plan(archive: Zip, change) -> Zip:
    plan = next(json.loads(c) for i, c in archive.members if i.filename == f"{MODEL}/plans.json")
    change(plan)
    archive.replace("plans.json", json.dumps(plan).encode())
    return archive


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_unpacks_to_a_thousand_times_its_size(sound, tmp_path, method, capsys):
    hostile = Zip.read(sound)
    hostile.replace("fold_0/level1/checkpoint_final.safetensors", ZEROS)
    for info, _ in hostile.members:
        info.compress_type = method
    bomb = hostile.write(tmp_path / "a.zip")
    assert bomb.stat().st_size < len(ZEROS) / 100
    assert "is compressed" in refused(bomb, tmp_path, capsys)


def test_members_that_share_their_bytes(sound, tmp_path, capsys):
    """The bomb without compression: many entries of the directory lead to the same bytes."""
    bomb = tmp_path / "a.zip"
    with zipfile.ZipFile(bomb, "w") as archive:
        archive.writestr("0", ZEROS[:1_000_000])
        for number in range(1, 500):
            entry = copy.copy(archive.filelist[0])
            entry.filename = str(number)
            archive.filelist.append(entry)
    assert "holds more than its own size" in refused(bomb, tmp_path, capsys)


def test_a_directory_that_lies_about_sizes(sound, tmp_path, capsys):
    """The size in the directory of the zip is raised to 4 GB."""
    data = bytearray(sound.read_bytes())
    at = data.rindex(f"{MODEL}/plans.json".encode()) - 46
    assert data[at : at + 4] == b"PK\x01\x02"
    data[at + 24 : at + 28] = struct.pack("<I", 0xFFFFFFF0)
    (tmp_path / "a.zip").write_bytes(data)
    assert "is compressed" in refused(tmp_path / "a.zip", tmp_path, capsys)
    data[at + 20 : at + 24] = struct.pack("<I", 0xFFFFFFF0)
    (tmp_path / "a.zip").write_bytes(data)
    assert "holds more than its own size" in refused(tmp_path / "a.zip", tmp_path, capsys)


def test_an_encrypted_member(sound, tmp_path, capsys):
    data = bytearray(sound.read_bytes())
    data[data.rindex(f"{MODEL}/plans.json".encode()) - 46 + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    assert "is encrypted" in refused(tmp_path / "a.zip", tmp_path, capsys)


@pytest.mark.parametrize("name", ["plans.json", "fold_0/level1/checkpoint_final.safetensors"])
def test_a_member_that_is_there_twice(sound, tmp_path, name, capsys):
    hostile = Zip.read(sound)
    hostile.add(f"{MODEL}/{name}", b"the second one")
    assert "is there twice" in refused(hostile.write(tmp_path / "a.zip"), tmp_path, capsys)
    hostile = Zip.read(sound)
    hostile.manifest["files"].append(hostile.manifest["files"][0])
    assert "names a file twice" in refused(hostile.write(tmp_path / "a.zip"), tmp_path, capsys)


def test_two_manifests(sound, tmp_path, capsys):
    hostile = Zip.read(sound)
    hostile.add("manifest.json", b"{}")
    assert "'manifest.json' is there twice" in refused(hostile.write(tmp_path / "a.zip"), tmp_path, capsys)


def test_huge_json_in_a_zip(sound, tmp_path, monkeypatch, capsys):
    for module in (json_record, model_archive):
        monkeypatch.setattr(module, "LARGEST_JSON_BYTES", 5000)
    hostile = Zip.read(sound)
    hostile.replace("dataset.json", b" " * 5001)
    assert "dataset.json is larger than" in refused(hostile.write(tmp_path / "a.zip"), tmp_path, capsys)
    hostile.manifest["dd_nnunet"] = "x" * 5001
    assert "manifest.json: is larger than" in refused(hostile.write(tmp_path / "a.zip"), tmp_path, capsys)


def test_deep_json_in_a_zip(sound, tmp_path, capsys):
    deep = b"[" * 65 + b"]" * 65
    hostile = Zip.read(sound)
    hostile.replace("dataset.json", deep)
    error = refused(hostile.write(tmp_path / "a.zip"), tmp_path, capsys)
    assert "a.zip, dataset.json: is nested more than 64 deep" in error


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("features_per_stage", [10**9, 10**9]),
        ("n_convs_per_stage", 10**9),
        ("features_per_stage", [8] * 10**5),
    ],
)
def test_a_plan_of_an_endless_network(sound, tmp_path, key, value, capsys):
    """It is compared with the weights before it takes memory."""
    hostile = changed_plan(
        Zip.read(sound), lambda plan: plan["configurations"]["3d_fullres"]["segmenter"].update({key: value})
    )
    started = time.monotonic()
    refused(hostile.write(tmp_path / "a.zip"), tmp_path, capsys)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("features_per_stage", [-1, 8]),
        ("features_per_stage", []),
        ("strides_zyx", [[0, 0, 0]] * 2),
        ("kernel_sizes_zyx", []),
    ],
)
def test_a_plan_of_a_network_that_cannot_be(sound, tmp_path, key, value, capsys):
    hostile = changed_plan(
        Zip.read(sound), lambda plan: plan["configurations"]["3d_fullres"]["segmenter"].update({key: value})
    )
    refused(hostile.write(tmp_path / "a.zip"), tmp_path, capsys)


def test_huge_json_is_not_even_read(tmp_path):
    path = tmp_path / "plans.json"
    with path.open("wb") as stream:
        stream.truncate((64 << 20) + 1)  # a hole, which takes no room on the disk
    error = error_of(read_json, path)
    assert error.reason == "is 64 MB of text; at most 64 MB are read"


@pytest.mark.parametrize("pair", ["[]", '{"a":}'])
def test_json_may_be_64_deep_and_no_deeper(pair):
    start, end = pair[:-1], pair[-1]
    parse_json(start * DEEPEST_JSON + "1" + end * DEEPEST_JSON, "x") if pair != "[]" else None
    parse_json("[" * 64 + "]" * 64, "x")
    for depth in (65, 100, 990, 5000, 200_000):
        error = error_of(parse_json, start * depth + "1" + end * depth, "x")
        assert error.reason == "is nested more than 64 deep"


def test_a_wide_file_is_not_deep():
    assert len(parse_json("[" + "[1]," * 100_000 + "[]]", "x")) == 100_001


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1e999", "1e999 is no JSON number"),
        ('{"a": -1e400}', "-1e400 is no JSON number"),
        ("1" * 5000, "holds a whole number of thousands of digits"),
        ('"\\ud800"', "holds half a character (a lone \\ud8… escape)"),
        ('{"\\uDC00": 1}', "holds half a character (a lone \\ud8… escape)"),
    ],
)
def test_values_that_would_break_later(text, reason):
    assert error_of(parse_json, text, "x").reason == reason


def test_what_looks_like_them_is_fine():
    assert parse_json('["\\ud83d\\ude00", "\\\\ud800", 1e308, -0.0]', "x") == ["😀", "\\ud800", 1e308, 0.0]


def test_a_whole_number_too_large_for_a_float(tmp_path):
    assert error_of(record_from_json, float, 10**400, "x").reason.startswith("$ is 1000")
    path = tmp_path / "dataset_fingerprint.json"
    path.write_text(json.dumps({"cases": [], "median_crop_shape_zyx": [1, 1, 1], "noise_sd": 10**400}))
    error_of(read_record, DatasetFingerprint, path)
