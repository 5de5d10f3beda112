"""dd_verify_dataset: the first step alone, which writes nothing."""

import shutil
import subprocess
import sys

import pytest
from small_dataset import make_dataset
from small_plan import NAME

from dd_nnunet.commands import verify
from dd_nnunet.storage.atomic import read_json, sha256_of, write_json


@pytest.fixture
def dataset(tmp_path):
    made = make_dataset(tmp_path)
    shutil.rmtree(made.folders.preprocessed)
    return made


def run(dataset, *more, d=("7",)):
    return verify.main(["-d", *d, "-np", "0", *dataset.flags, *more])


def state(dataset):
    root = dataset.workspace.raw.parent
    return {path: sha256_of(path) if path.is_file() else None for path in root.rglob("*")}


def truncate(dataset, name):
    path = dataset.folders.images_tr / f"{name}_0000.nii.gz"
    path.write_bytes(path.read_bytes()[:-50])
    return path


def test_a_sound_dataset_is_one_line_and_nothing_is_written(dataset, capsys):
    before = state(dataset)
    assert run(dataset) == 0
    assert capsys.readouterr() == (f"{NAME}: sound, 5 cases, 0 warnings\n", "")
    assert state(dataset) == before


def test_warnings_are_printed(dataset, capsys):
    (dataset.folders.images_tr / "notes.txt").write_text("x")
    write_json(dataset.folders.dataset_json, {**read_json(dataset.folders.dataset_json), "numTraining": 9})
    assert run(dataset) == 0
    first, second, verdict = capsys.readouterr().out.splitlines()
    assert first == f"warning: {dataset.folders.images_tr / 'notes.txt'}: is no volume and is left out"
    assert second.endswith("numTraining is 9, imagesTr holds 5")
    assert verdict == f"{NAME}: sound, 5 cases, 2 warnings"


def test_all_bad_cases_are_listed_at_once(dataset, capsys):
    bad = [truncate(dataset, name) for name in "bd"]
    nameless = dataset.folders.images_tr / "nameless.nii.gz"
    nameless.write_bytes(b"")
    before = state(dataset)
    assert run(dataset) == 2
    shown, lines = capsys.readouterr()
    assert shown == f"{NAME}: not sound, 3 faults\n"
    places = [line.removeprefix("dd_verify_dataset: error: ").split(": ")[0] for line in lines.splitlines()]
    assert places == [str(path) for path in (nameless, *bad)]
    assert state(dataset) == before


def test_one_bad_name_among_sound_cases_is_a_fault(dataset, capsys):
    (dataset.folders.images_tr / "nameless.nii.gz").write_bytes(b"")
    assert run(dataset) == 2
    assert capsys.readouterr().out == f"{NAME}: not sound, 1 fault\n"


def test_every_dataset_has_its_verdict(dataset, capsys):
    other, broken = (dataset.workspace.raw / name for name in ("Dataset008_Others", "Dataset009_Broken"))
    shutil.copytree(dataset.folders.raw, other)
    shutil.copytree(dataset.folders.raw, broken)
    (broken / "dataset.json").write_text("{")
    bad = truncate(dataset, "a")
    assert run(dataset, d=("7", "8", "9")) == 2
    shown, lines = capsys.readouterr()
    assert shown.splitlines() == [
        f"{NAME}: not sound, 1 fault",
        "Dataset008_Others: sound, 5 cases, 0 warnings",
        "Dataset009_Broken: not sound, 1 fault",
    ]
    first, second = lines.splitlines()
    assert str(bad) in first and f"{broken / 'dataset.json'}:1:2: is not valid JSON" in second


def test_a_folder_without_any_well_named_file(dataset, capsys):
    for path in list(dataset.folders.images_tr.iterdir()):
        path.rename(path.with_name(path.name.replace("_0000", "")))
    assert run(dataset) == 2
    shown, lines = capsys.readouterr()
    assert shown == f"{NAME}: not sound, 5 faults\n"
    assert lines.count("has no channel number") == 5


def test_help_is_instant_and_imports_no_heavy_library():
    script = (
        "import sys; from dd_nnunet.commands.verify import main\n"
        "try: main(['-h'])\n"
        "except SystemExit: print([n for n in ('torch', 'SimpleITK', 'scipy') if n in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, encoding="utf-8")
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
