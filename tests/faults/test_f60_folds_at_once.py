"""F60: folds started at once find one plan beside them, whole; a fold with another plan is refused."""

import shutil

from other_processes import end, start
from small_dataset import make_dataset
from small_plan import NAME

from dd_nnunet.core.plan import Plan
from dd_nnunet.storage.atomic import read_json, read_record, write_json

N_PROCESSES = 8
# everything of dd_train up to the training itself, slowly between the look at plans.json and its writing
START = """
import sys, time
from dd_nnunet.commands import train, train_setup
from dd_nnunet.storage import atomic, case_store, raw_dataset, run_folder, splits
read_json = atomic.read_json
def read_slowly(path):
    time.sleep(0.3)
    return read_json(path)
atomic.read_json = read_slowly
assert train_setup.make_setup and train._train and train._validate
train_setup.make_setup = lambda *arguments: type("Setup", (), {"runtime": type("Runtime", (), {"because": "cpu"})})
train._train = train._validate = lambda *arguments: None
print("ready", flush=True)
sys.stdin.readline()
sys.exit(train.main(sys.argv[1:]))
"""


def start_at_once(folds, flags_of_each):
    processes = [
        start(START, "7", "3d_fullres", fold, *flags)
        for fold, flags in zip(folds, flags_of_each, strict=True)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    return [end(process) for process in processes]


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_eight_folds_started_at_once_share_one_plan(tmp_path):
    dataset = make_dataset(tmp_path)
    folds = ("0", "1", "2", "3", "4", "all", "0", "1")[:N_PROCESSES]
    ends = start_at_once(folds, [dataset.flags] * N_PROCESSES)
    # two of the eight are a fold that another one trains, unless that one has ended already
    assert all(code == 0 or "is in use by process" in errors for code, _, errors in ends), ends
    prepared, model = dataset.folders.preprocessed, dataset.model
    assert files_of(model) == {
        ".lock": b"",
        "plans.json": (prepared / "ddPlans.json").read_bytes(),
        "dataset.json": (prepared / "dataset.json").read_bytes(),
        "dataset_fingerprint.json": (prepared / "dataset_fingerprint.json").read_bytes(),
    }


def test_of_eight_plans_one_wins_and_the_others_are_refused(tmp_path):
    dataset = make_dataset(tmp_path)
    flags = []
    for number in range(N_PROCESSES):
        copy = tmp_path / f"preprocessed_{number}"
        shutil.copytree(dataset.workspace.preprocessed, copy)
        plan = read_json(copy / NAME / "ddPlans.json")
        plan["configurations"]["3d_fullres"]["diffusion"]["iterations"] = 100 + number
        write_json(copy / NAME / "ddPlans.json", plan)
        flags.append([*dataset.flags, "--preprocessed", str(copy)])
    ends = start_at_once(["all"] * N_PROCESSES, flags)
    codes = [code for code, _, _ in ends]
    (winner,) = [number for number, code in enumerate(codes) if code == 0]
    for number, (code, _, errors) in enumerate(ends):
        if number != winner:
            assert code == 2 and "these folds were trained with another plan: " in errors
    written = read_record(Plan, dataset.model / "plans.json")
    assert written.configuration("3d_fullres").diffusion.iterations == 100 + winner
