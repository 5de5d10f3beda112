"""F28: a broken dataset.json is an error with line and column."""

import pytest
from fault_files import error_of

from dd_nnunet.storage.raw_dataset import load_description

SOUND = '{"channel_names": {"0": "MRI"}, "numTraining": 1, "file_ending": ".nrrd"}'


def test_missing(tmp_path):
    error = error_of(load_description, tmp_path)
    assert (error.where, error.reason) == (str(tmp_path / "dataset.json"), "does not exist")


def test_every_prefix_is_refused(tmp_path):
    path = tmp_path / "dataset.json"
    path.write_text(SOUND, encoding="utf-8")
    assert load_description(path).file_ending == ".nrrd"
    for length in range(len(SOUND)):
        path.write_text(SOUND[:length], encoding="utf-8")
        assert error_of(load_description, path).where.startswith(f"{path}:1:")


@pytest.mark.parametrize(
    ("content", "where", "reason"),
    [
        (b'{\n "channel_names": {"0": "MRI"},\n "file_ending" ".nrrd"\n}', ":3:16", "is not valid JSON"),
        (b"\xef\xbb\xbf" + SOUND.encode(), ":1:1", "starts with a byte-order mark"),
        (b'{"file_ending": ".nrrd", "file_ending": ".nii"}', ":1:26", "key 'file_ending' stands twice"),
        (b'{"numTraining": NaN}', ":1:17", "NaN is no JSON number"),
        (b'{"a": {"b": 1},\n "b": 2,\n  "b": 3}', ":3:3", "key 'b' stands twice in one object"),
        (b'{"name": "M\xfcller"}', "", "is not UTF-8 text (byte 11)"),
    ],
)
def test_broken(tmp_path, content, where, reason):
    path = tmp_path / "dataset.json"
    path.write_bytes(content)
    error = error_of(load_description, tmp_path)
    assert error.where == f"{path}{where}"
    assert error.reason.startswith(reason)
