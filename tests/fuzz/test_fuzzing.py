"""A few damaged inputs for every reader, the same each time; `run_fuzzing.py` tries as many as time allows."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from targets import all_targets

TARGETS = all_targets()


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_inputs_are_read_or_refused(name):
    target = TARGETS[name]

    @settings(
        max_examples=40,
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
