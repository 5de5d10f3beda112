"""A file cut off anywhere is refused, and never read as something else."""

import json

import pytest
from damaged_records import checkpoint_bytes, json_readers
from faults.model_zips import sound_zip
from properties import check_refusal

from dd_nnunet.core.errors import UserError
from dd_nnunet.networks.checkpoint import load_checkpoint
from dd_nnunet.storage.model_archive import open_archive


def refused(call, path, content):
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        call(path)
    check_refusal(caught.value)


@pytest.mark.parametrize("name", json_readers())
def test_every_prefix_of_json(tmp_path, name):
    file, text, call = json_readers()[name]
    path = tmp_path / file
    # without the blanks between its words there are fewer places to cut
    whole = json.dumps(json.loads(text), separators=(",", ":")).encode()
    path.write_bytes(whole)
    call(path)
    for length in range(len(whole)):
        refused(call, path, whole[:length])


def test_every_prefix_of_a_checkpoint(tmp_path):
    whole = checkpoint_bytes()
    path = tmp_path / "checkpoint_final.pth"
    path.write_bytes(whole)
    assert load_checkpoint(path)["epoch"] == 3
    for length in range(len(whole)):
        refused(load_checkpoint, path, whole[:length])


def test_every_prefix_of_a_model_archive(tmp_path):
    def open_and_close(path):
        with open_archive(path):
            pass

    sound = sound_zip(tmp_path)
    open_and_close(sound)
    whole, path = sound.read_bytes(), tmp_path / "cut.zip"
    lengths = {*range(0, len(whole), len(whole) // 100), *range(len(whole) - 100, len(whole))}
    for length in sorted(lengths):
        refused(open_and_close, path, whole[:length])
