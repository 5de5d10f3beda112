"""F45: Ctrl-C in preparation, training and prediction: one line, exit 75, and no process left after 5 seconds."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from planned import Faulty
from short_training import PREDICT, TRAIN, prepare_training, write_untrained_model

PREPARE = ["-d", "5", "-np", "2", "--no_pbar", "-q", "--preset", "fast"]
# each says "busy" where Ctrl-C is to fall, and would go on for minutes
PREPARATION = """
import sys, time
from dd_nnunet.commands.plan_and_preprocess import main
from dd_nnunet.preprocessing import dataset
add = dataset._Notes.add
dataset._Notes.add = lambda *args: (add(*args), print("busy", flush=True), time.sleep(300))
sys.exit(main(sys.argv[1:]))
"""
STARTING_PROCESSES = """
import sys
from concurrent.futures import ProcessPoolExecutor
from dd_nnunet.commands.plan_and_preprocess import main
submit = ProcessPoolExecutor.submit
def started(*args):
    future = submit(*args)
    print("busy", flush=True)
    return future
ProcessPoolExecutor.submit = started
sys.exit(main(sys.argv[1:]))
"""
WITH_WORKERS = """
import sys, time
from dd_nnunet.commands import train
from dd_nnunet.training import pretrain_diffusion
batches = pretrain_diffusion.iterate_batches
pretrain_diffusion.iterate_batches = lambda *args: batches(*args[:3], 2)
"""
TRAINING = """
from dd_nnunet.storage.run_folder import RunFolder
append = RunFolder.append_log
RunFolder.append_log = lambda *args: (append(*args), print("busy", flush=True))
sys.exit(train.main(sys.argv[1:]))
"""
WAITING_FOR_A_BATCH = """
from batchgenerators.dataloading.multi_threaded_augmenter import MultiThreadedAugmenter
from dd_nnunet.training.batches import PatchLoader
start, draw = MultiThreadedAugmenter._start, PatchLoader.generate_train_batch
PatchLoader.generate_train_batch = lambda self: (time.sleep(2), draw(self))[1]
MultiThreadedAugmenter._start = lambda self: (start(self), print("busy", flush=True))
sys.exit(train.main(sys.argv[1:]))
"""
PREDICTION = """
import sys, time
from dd_nnunet.commands.predict import main
from dd_nnunet.prediction.predict_folder import FolderPrediction
write = FolderPrediction._write_record
FolderPrediction._write_record = lambda *args: (write(*args), print("busy", flush=True), time.sleep(300))
sys.exit(main(sys.argv[1:]))
"""
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    dataset = prepare_training(tmp_path_factory.mktemp("interrupted"), iterations=2000)
    write_untrained_model(dataset)
    yield dataset


def processes_of(session: int) -> list[str]:
    """Processes of a session that have not ended."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            name, fields = (entry / "stat").read_text().rsplit(")", 1)
        except OSError:
            continue
        state, _, _, of_session = fields.split()[:4]
        if int(of_session) == session and state != "Z":
            found.append(name)
    return found


def press_ctrl_c(program: str, arguments: list[str]) -> tuple[int, str]:
    """Start, send SIGINT to all processes as a terminal does once it says "busy"; exit code and stderr."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
        # a shell starts what runs in the background with SIGINT ignored, and that is inherited
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout.readline() == "busy\n", process.stderr.read()
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=60)
        deadline = time.monotonic() + 5
        while processes_of(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert processes_of(process.pid) == []
        return process.returncode, error
    finally:
        if processes_of(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(STARTING_PROCESSES, id="starting"),
        pytest.param(PREPARATION, id="preparing", marks=pytest.mark.slow),
    ],
)
def test_preparation(dataset: Faulty, program: str) -> None:
    code, error = press_ctrl_c(program, [*PREPARE, *dataset.flags, "-overwrite_plans_name", "other"])
    assert (code, error) == (75, "dd_plan_and_preprocess: error: stopped; the same command continues\n")
    assert not list(dataset.preprocessed.rglob(".dd_tmp_*"))


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(WAITING_FOR_A_BATCH, id="waiting"),
        pytest.param(TRAINING, id="working", marks=pytest.mark.slow),
    ],
)
def test_training_with_workers(dataset: Faulty, program: str) -> None:
    # fold 0 is there already, for the prediction
    fold_1 = [*TRAIN[:2], "1", *TRAIN[3:]]
    code, error = press_ctrl_c(WITH_WORKERS + program, [*fold_1, *dataset.flags])
    assert (code, error) == (75, "dd_train: error: stopped; the same command continues\n")


@pytest.mark.slow
def test_prediction(dataset: Faulty, tmp_path: Path) -> None:
    places = ["-i", str(dataset.raw / "imagesTr"), "-o", str(tmp_path / "out")]
    code, error = press_ctrl_c(PREDICTION, [*PREDICT, *places, *dataset.flags])
    continues = "stopped; the same command continues with --continue_prediction"
    assert (code, error) == (75, f"dd_predict: error: {continues}\n")
