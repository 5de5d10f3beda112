"""F59: of two preparations of one dataset the second is refused naming host and process, or waits with --wait."""

import os

import pytest
from other_processes import end, start, wait_for
from planned import NAME, make_faulty
from small_volumes import cells

PLAN_WHEN_TOLD = """
import sys
from dd_nnunet.commands import plan_and_preprocess as command
plan = command._plan
def plan_when_told(*arguments):
    print("measured", flush=True)
    sys.stdin.readline()
    return plan(*arguments)
command._plan = plan_when_told
sys.exit(command.main(sys.argv[1:]))
"""
FLAGS = ("-d", "5", "-np", "0", "--no_pbar", "--preset", "fast")


@pytest.fixture
def dataset(tmp_path):
    return make_faulty(tmp_path, cells())


@pytest.fixture
def first(dataset):
    """A preparation that has measured the dataset and plans it when told to."""
    process = start(PLAN_WHEN_TOLD, *FLAGS, *dataset.flags)
    wait_for(process, "measured")
    yield process
    process.kill()
    process.communicate()


def test_the_second_is_refused_and_the_first_goes_on(dataset, first, capsys):
    assert dataset.run() == 2
    assert capsys.readouterr().err == (
        f"dd_plan_and_preprocess: error: {dataset.preprocessed}: is in use by process {first.pid} on "
        f"{os.uname().nodename}; wait for it to end, or stop it\n"
    )
    first.stdin.write("go on\n")
    assert end(first)[0] == 0
    assert dataset.prepared_cases == ["cell_0", "cell_1", "cell_2"]
    assert dataset.run() == 0


def test_with_wait_the_second_comes_after_the_first(dataset, first):
    second = start(PLAN_WHEN_TOLD, *FLAGS, *dataset.flags, "--wait")
    assert f"{NAME} is in use by process {first.pid}" in wait_for(second, "waiting for it to end")
    first.stdin.write("go on\n")
    assert end(first)[0] == 0
    second.stdin.write("go on\n")
    code, out, errors = end(second)
    assert (code, errors) == (0, "")
    assert "0 cases prepared, 3 were prepared already" in out
