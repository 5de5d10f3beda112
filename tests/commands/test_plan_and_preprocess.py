import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_dataset import CASES, make_dataset
from small_plan import NAME

from dd_nnunet.commands import plan_and_preprocess as command
from dd_nnunet.core.fingerprint import SCHEMA_VERSION, DatasetFingerprint
from dd_nnunet.core.plan import Plan
from dd_nnunet.core.splits import make_folds
from dd_nnunet.storage import hardware
from dd_nnunet.storage.atomic import read_record, sha256_of
from dd_nnunet.storage.case_store import Manifest, read_case
from dd_nnunet.storage.splits import read_splits
from dd_nnunet.storage.volume import read_volume, write_image

ROOT = Path(__file__).parents[2]
STEPS = (command.main, command.main_fingerprint, command.main_plan, command.main_preprocess)
SHARED_DATA = ROOT.parent / "shared/data"


@pytest.fixture
def dataset(tmp_path):
    made = make_dataset(tmp_path)
    shutil.rmtree(made.folders.preprocessed)
    return made


def run(dataset, *more, step=command.main):
    processes = [] if step is command.main_plan else ["-np", "0"]
    return step(["-d", "7", *processes, *dataset.flags, *more])


def hashes(folder):
    return {
        str(path.relative_to(folder)): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def test_all_files_are_made(dataset):
    assert run(dataset, "--preset", "fast") == 0
    folders = dataset.folders
    assert sorted(p.name for p in folders.preprocessed.iterdir()) == [
        ".lock",
        "dataset.json",
        "dataset_fingerprint.json",
        "ddPlans.json",
        "ddPlans_3d_fullres",
        "measured_cases",
        "splits_final.json",
    ]
    raw_description = folders.raw / "dataset.json"
    assert (folders.preprocessed / "dataset.json").read_bytes() == raw_description.read_bytes()
    fingerprint = read_record(DatasetFingerprint, folders.fingerprint_json)
    assert [case.case_id for case in fingerprint.cases] == list(CASES)
    assert fingerprint.median_crop_shape_zyx == (12, 14, 16)
    plan = read_record(Plan, folders.plans_json("ddPlans"))
    assert (plan.dataset_name, plan.planner, plan.preset) == (NAME, "default", "fast")
    assert plan.configuration("3d_fullres").spacing_zyx_mm == (2.0, 1.0, 1.0)
    assert read_splits(folders.splits_json) == make_folds(CASES)
    prepared = folders.prepared("ddPlans", "3d_fullres")
    assert list(Manifest.load(prepared).cases) == list(CASES)
    assert read_case(prepared, "c").array.shape == (1, 12, 14, 16)


def test_steps_and_decisions_are_printed(dataset, capsys):
    run(dataset, "--preset", "fast")
    shown = capsys.readouterr().out
    places = [
        shown.index(step) for step in ("verify: 5 cases are sound", "fingerprint:", "plan:", "preprocess: 5")
    ]
    assert places == sorted(places)
    plan = read_record(Plan, dataset.folders.plans_json("ddPlans"))
    words = " ".join(shown.split())
    for decision in plan.decisions:
        assert decision.value in words and decision.because in words


def test_quiet_prints_warnings_only(dataset, capsys):
    assert run(dataset, "-q") == 0
    assert capsys.readouterr() == ("", "")


def test_the_steps_one_by_one_make_the_same(dataset, tmp_path):
    run(dataset, "--preset", "fast")
    at_once = hashes(dataset.folders.preprocessed)
    shutil.rmtree(dataset.folders.preprocessed)
    assert run(dataset, step=command.main_fingerprint) == 0
    assert run(dataset, "--preset", "fast", step=command.main_plan) == 0
    assert run(dataset, step=command.main_preprocess) == 0
    assert hashes(dataset.folders.preprocessed) == at_once


def test_a_second_run_changes_nothing(dataset, capsys):
    run(dataset)
    before = hashes(dataset.folders.preprocessed)
    capsys.readouterr()
    assert run(dataset) == 0
    assert "preprocess: 0 cases prepared, 5 were prepared already" in capsys.readouterr().out
    assert hashes(dataset.folders.preprocessed) == before


def test_processes_make_the_same_bytes(dataset):
    run(dataset)
    before = hashes(dataset.folders.preprocessed)
    assert run(dataset, "--clean", "-np", "2") == 0
    assert hashes(dataset.folders.preprocessed) == before


def test_labels_change_no_bit_and_raw_is_not_written(dataset):
    raw_before = hashes(dataset.folders.raw)
    run(dataset)
    with_labels = hashes(dataset.folders.preprocessed)
    assert hashes(dataset.folders.raw) == raw_before
    shutil.rmtree(dataset.folders.labels_tr)
    shutil.rmtree(dataset.folders.preprocessed)
    assert run(dataset) == 0
    assert hashes(dataset.folders.preprocessed) == with_labels


def test_bad_cases_are_all_listed_and_nothing_is_planned(dataset, capsys):
    images = dataset.folders.images_tr
    for name in "be":
        file = images / f"{name}_0000.nii.gz"
        file.write_bytes(file.read_bytes()[:-50])
    assert run(dataset) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    for line, name in zip(lines, "be", strict=True):
        assert line.startswith(f"dd_plan_and_preprocess: error: {images / name}_0000.nii.gz: ")
    assert sorted(path.name for path in dataset.folders.preprocessed.iterdir()) == [".lock", "measured_cases"]


def test_no_pp_stops_after_the_plan(dataset, capsys):
    assert run(dataset, "--no_pp") == 0
    assert not dataset.folders.prepared("ddPlans", "3d_fullres").exists()
    assert capsys.readouterr().out.splitlines()[-1] == f"prepare the cases with: dd_preprocess -d {NAME}"


def test_planning_alone_repeats_what_is_odd_and_says_what_comes_next(dataset, capsys):
    file = dataset.folders.images_tr / "e_0000.nii.gz"
    geometry = read_volume((file,)).geometry
    write_image(file, np.zeros(geometry.shape_zyx, np.float32), geometry)
    odd = "warning: e: constant volume, left out of training"
    for flags in (["--no_pp"], ["--no_pp", "--no_verify"]):
        assert run(dataset, *flags) == 0
        assert odd in capsys.readouterr().out.splitlines()
    assert run(dataset, "-overwrite_plans_name", "other", step=command.main_plan) == 0
    lines = capsys.readouterr().out.splitlines()
    assert odd in lines
    assert lines[-1] == f"prepare the cases with: dd_preprocess -d {NAME} -plans_name other"


def test_the_paper_planner(dataset):
    assert run(dataset, "-pl", "paper", "--no_pp") == 0
    plan = read_record(Plan, dataset.folders.plans_json("ddPlans"))
    assert (plan.planner, plan.preset) == ("paper", "paper")
    assert plan.configuration("3d_fullres").features.timesteps == (25,)


def test_the_paper_planner_warns_where_it_is_not_the_papers(dataset, capsys, monkeypatch):
    monkeypatch.setattr(hardware, "find_accelerator", lambda: hardware.Accelerator("a CPU", False))
    flags = ("-pl", "paper", "-q")
    assert run(dataset, *flags, "--no_pp") == 0
    assert capsys.readouterr().out == ""
    for step, more in ((command.main, ["--no_pp"]), (command.main_plan, [])):
        assert run(dataset, *flags, *more, "-gpu_memory_target", "0.03", step=step) == 0
        assert capsys.readouterr().out.splitlines() == [
            "warning: not as in the paper: diffusion channels 16 32 64 instead of 64 128 256, diffusion batch size "
            "3 instead of 4, because -gpu_memory_target is 0.03 GB; give at least 0.29"
        ]


def test_flags_reach_the_plan(dataset):
    flags = "--parts 3 6 -overwrite_target_spacing 1 1 1.5 -gpu_memory_target 3 -overwrite_plans_name fine"
    assert run(dataset, *flags.split()) == 0
    configuration = read_record(Plan, dataset.folders.plans_json("fine")).configuration("3d_fullres")
    assert [level.n_parts for level in configuration.levels] == [3, 6]
    assert configuration.spacing_zyx_mm == (1.0, 1.0, 1.5)
    assert configuration.gpu_memory_target_gb == 3.0
    assert read_case(dataset.folders.prepared("fine", "3d_fullres"), "a").array.shape == (1, 24, 14, 11)


def test_no_verify_trusts_a_fingerprint_of_the_same_cases(dataset, capsys):
    run(dataset, "--no_pp")
    file = dataset.folders.images_tr / "b_0000.nii.gz"
    file.write_bytes(file.read_bytes()[:-50])
    assert run(dataset, "--no_pp", "--no_verify") == 0
    assert "not verified again" in capsys.readouterr().out
    assert run(dataset, "--no_pp") == 2
    file.unlink()
    assert run(dataset, "--no_pp", "--no_verify") == 0
    assert "verify: 4 cases are sound" in capsys.readouterr().out


def test_plans_are_not_made_from_a_fingerprint_without_splits(dataset, capsys):
    run(dataset, "--no_pp")
    file = dataset.folders.fingerprint_json
    new = json.loads(file.read_text())
    old = new | {"schema_version": 2, "cases": [dict(case) for case in new["cases"]]}
    for case in old["cases"]:
        del case["splits"]
        case["channels"] = [dict(channel) for channel in case["channels"]]
        # of version 5
        for record, key in ((case, "diameters_voxels"), (case["channels"][0], "whole_noise_sd")):
            del record[key]
    file.write_text(json.dumps(old))
    capsys.readouterr()
    assert run(dataset, step=command.main_plan) == 2
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith(
            f"{file}: is of version 2; plans are made from version {SCHEMA_VERSION}; "
            f"run dd_extract_fingerprint -d {NAME}"
        )
    )
    # measured anew rather than trusted
    assert run(dataset, "--no_pp", "--no_verify") == 0
    assert json.loads(file.read_text()) == new


def test_splits_are_kept_while_they_name_the_same_cases(dataset, capsys):
    run(dataset, "--no_pp")
    own = [{"train": ["a", "b", "c"], "val": ["d", "e"]}]
    dataset.folders.splits_json.write_text(json.dumps(own))
    run(dataset, "--no_pp")
    assert json.loads(dataset.folders.splits_json.read_text()) == own
    (dataset.folders.images_tr / "e_0000.nii.gz").unlink()
    run(dataset, "--no_pp")
    assert (
        f"warning: {dataset.folders.splits_json} names other cases and is written anew"
        in capsys.readouterr().out
    )
    assert read_splits(dataset.folders.splits_json) == make_folds(CASES[:4])


def test_folds_that_the_raw_dataset_gives_are_taken(dataset, capsys):
    given = dataset.folders.raw / "splits_final.json"
    given.write_text(json.dumps([{"train": ["a", "b", "c"], "val": ["e"]}]))
    assert run(dataset, "--no_pp") == 2
    assert f"{given}: does not name the cases of imagesTr" in capsys.readouterr().err
    own = [{"train": ["a", "b", "c"], "val": ["d", "e"]}]
    given.write_text(json.dumps(own))
    assert run(dataset, "--no_pp") == 0
    assert "folds: 1, as the raw dataset gives them" in capsys.readouterr().out
    assert json.loads(dataset.folders.splits_json.read_text()) == own


def test_preparing_needs_the_fingerprint_of_these_cases(dataset, capsys):
    assert run(dataset, step=command.main_preprocess) == 2
    assert "ddPlans.json: does not exist" in capsys.readouterr().err
    run(dataset, "--no_pp")
    (dataset.folders.images_tr / "e_0000.nii.gz").unlink()
    assert run(dataset, step=command.main_preprocess) == 2
    assert "holds other cases than the fingerprint" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-pl", "paper", "--preset", "fast"], "-pl paper: contradicts --preset fast"),
        (["--parts", "4", "2"], "--parts: 4 2 get fewer with depth"),
        (["--parts", "1"], "--parts: is 1; give a whole number from 2 to 256 for every level"),
        (["--max_ram", "0.1"], "--max_ram: 0.1 GB is too little"),
        (["-gpu_memory_target", "0.001"], "-gpu_memory_target: 0.001 GB is too little"),
        (
            ["-c", "2d", "-overwrite_plans_name", "other"],
            "configuration '2d': is not in the plan; planned: 3d_fullres; "
            "run: dd_preprocess -d Dataset007_Cells -c 3d_fullres -plans_name other",
        ),
    ],
)
def test_wrong_wishes_are_refused(dataset, capsys, flags, message):
    assert run(dataset, *flags) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"dd_plan_and_preprocess: error: {message}")


@pytest.mark.parametrize(
    "flags",
    [["-np", "-1"], ["-gpu_memory_target", "0"], ["-overwrite_plans_name", "../x"], ["--preset", "best"]],
)
def test_values_out_of_range_are_refused(dataset, flags):
    with pytest.raises(SystemExit) as caught:
        run(dataset, *flags)
    assert caught.value.code == 2


def test_an_unknown_dataset_is_refused_before_any_work(dataset, capsys):
    assert command.main(["-d", "7", "8", *dataset.flags]) == 2
    assert f"dataset 8: not found in {dataset.workspace.raw}" in capsys.readouterr().err
    assert not dataset.folders.preprocessed.exists()


@pytest.mark.parametrize("step", [step.__name__ for step in STEPS])
def test_help_is_instant_and_imports_no_heavy_library(step):
    heavy = ("torch", "SimpleITK", "scipy", "matplotlib", "numpy.random")
    script = (
        f"import sys; from dd_nnunet.commands.plan_and_preprocess import {step} as main\n"
        "try: main(['-h'])\n"
        f"except SystemExit: print([name for name in {heavy} if name in sys.modules])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, encoding="utf-8", env=environment
    )
    # 0.3 s are promised on an idle machine; a test machine may be busy
    assert time.monotonic() - started < 3
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the real volumes are not beside the checkout")
@pytest.mark.parametrize("number", ["901", "902", "903"])
def test_real_volumes_are_planned(tmp_path, number):
    places = [
        "--raw",
        str(SHARED_DATA),
        "--preprocessed",
        str(tmp_path / "p"),
        "--results",
        str(tmp_path / "r"),
    ]
    assert command.main(["-d", number, "-np", "0", "--no_pbar", "--preset", "fast", *places]) == 0
    (folder,) = (tmp_path / "p").iterdir()
    plan = read_record(Plan, folder / "ddPlans.json")
    configuration = plan.configuration("3d_fullres")
    assert len(configuration.diffusion.channels) == 4
    diameters = read_record(DatasetFingerprint, folder / "dataset_fingerprint.json").diameters_mm
    assert list(diameters) == sorted(diameters, reverse=True)
    assert len(diameters) == {"901": 3, "902": 2, "903": 3}[number]
    # coarse levels may have a configuration of their own
    coarsest = next(c for c in plan.configurations.values() if c.levels[0].level == 1)
    stages = [level.stages[0] for level in coarsest.levels]
    assert stages == sorted(stages) and stages[0] == 1
