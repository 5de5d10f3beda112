"""A few damaged inputs for every reader, the same each time; `run_fuzzing.py` tries as many as time allows."""

import tempfile
from pathlib import Path

import pytest
from damaged_volumes import check_volume
from hypothesis import HealthCheck, given, settings
from sound_volumes import sound_files
from targets import all_targets

TARGETS = all_targets()


@pytest.mark.parametrize("ending", sound_files())
def test_sound_volumes_are_read(tmp_path, ending):
    for number, files in enumerate(sound_files()[ending]):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert check_volume(folder, files)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_inputs_are_read_or_refused(name):
    target = TARGETS[name]

    @settings(
        max_examples=25,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def check(files):
        with tempfile.TemporaryDirectory() as folder:
            target.check(Path(folder), files)

    check()


def test_a_good_share_of_spacings_beside_a_tiff_is_read():
    target, n_read = TARGETS["tiff_sidecar"], []

    @settings(
        max_examples=60,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def check(files):
        with tempfile.TemporaryDirectory() as folder:
            n_read.append(target.check(Path(folder), files))

    check()
    assert sum(n_read) >= len(n_read) / 5
