"""dd_doctor: facts become lines with a remedy; what stands in the way is exit code 2."""

import json

import pytest

from dd_nnunet.commands import checks, doctor
from dd_nnunet.commands.checks import Check
from dd_nnunet.networks.device import Device
from dd_nnunet.storage.folder_probe import FolderFacts
from dd_nnunet.storage.requirements import Requirement
from dd_nnunet.storage.workspace import Workspace

GB = 1024**3
CPU = Device("cpu", "Old CPU", 8 * GB, False)
H200 = Device("cuda", "NVIDIA H200", 139 * GB, True)
GOOD = FolderFacts(True, free_bytes=100 * GB)
PYTHON = Requirement("python", ">=3.11", "3.11.7")


@pytest.fixture
def folders(tmp_path):
    for name in ("raw/Dataset001_A", "raw/Dataset002_B", "preprocessed", "results"):
        (tmp_path / name).mkdir(parents=True)
    names = ("raw", "preprocessed", "results")
    return [text for name in names for text in (f"--{name}", str(tmp_path / name))]


@pytest.fixture
def quick(monkeypatch):
    """Without the checks that import everything; those of all other rooms are the real ones."""
    for name in ("check_modules", "check_networks"):
        monkeypatch.setattr(checks, name, lambda: Check("x", "ok", "fine"))


def test_of_this_machine(folders, capsys):
    assert doctor.main(folders) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    names = [line.split("  ")[0] for line in out.splitlines()[2:] if not line.startswith(" ")]
    assert names == [
        "versions", "modules", "networks", "dd_raw", "dd_preprocessed", "dd_results", "locks", "devices",
        "processors", "memory", "shared memory", "open files",
    ]  # fmt: skip
    assert "2 datasets" in out and "problem" not in out


def test_nothing_is_left_behind(folders, quick, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    doctor.main(folders)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_stands_in_the_way_is_exit_code_2(folders, quick, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    assert doctor.main([*folders, "--results", str(tmp_path / "file")]) == 2
    out, error = capsys.readouterr()
    assert error == "dd_doctor: error: dd_results: stands in the way; do what is said of it above\n"
    assert "dd_results       problem" in out


def test_a_raw_folder_that_is_not_there_is_only_a_warning(folders, quick, tmp_path, capsys):
    assert doctor.main([*folders, "--raw", str(tmp_path / "none")]) == 0
    assert "dd_raw           warning" in capsys.readouterr().out


def test_json_for_programs(folders, quick, capsys):
    assert doctor.main([*folders, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert set(data) == {"version", "checks"}
    assert all(set(check) == {"name", "state", "found", "remedy"} for check in data["checks"])
    assert {check["state"] for check in data["checks"]} <= {"ok", "warning"}


def test_the_table_is_wrapped_with_the_remedy_below():
    long = Check("memory", "warning", "a " * 40, "b " * 40)
    assert doctor.format_checks([Check("locks", "ok", "work"), long]).splitlines() == [
        "locks            ok       work",
        "memory           warning  " + "a " * 26 + "a",
        " " * 26 + "a " * 12 + "a",
        " " * 26 + "→ " + "b " * 25 + "b",
        " " * 28 + "b " * 13 + "b",
    ]


def test_versions():
    torch, none = Requirement("torch", ">=2.10", "2.9.0"), Requirement("blosc2", ">=3.0", None)
    assert checks.check_versions([PYTHON]).state == "ok"
    found = checks.check_versions([PYTHON, torch, none])
    assert (found.state, found.found) == (
        "problem", "torch 2.9.0 (wanted >=2.10); blosc2 missing (wanted >=3.0)",
    )  # fmt: skip
    assert found.remedy.startswith("pip install")
    assert checks.check_versions([]).state == "warning"


def test_raw_folder(tmp_path):
    assert checks.check_raw(Workspace(None, None, None)).state == "warning"
    missing = checks.check_raw(Workspace(tmp_path / "none", None, None))
    assert (missing.state, missing.found) == ("warning", f"{tmp_path / 'none'}: No such file or directory")
    (tmp_path / "file").touch()
    file = checks.check_raw(Workspace(tmp_path / "file", None, None))
    assert (file.state, file.found) == ("problem", f"{tmp_path / 'file'}: Not a directory")
    nnunets = checks.check_raw(Workspace(tmp_path, None, None, raw_is_ours=False))
    assert nnunets.found == f"{tmp_path} (nnUNet_raw: never written), 0 datasets"


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (None, "problem"),
        (GOOD, "ok"),
        (FolderFacts(False, free_bytes=100 * GB), "ok"),
        (FolderFacts(True, free_bytes=GB), "warning"),
        (FolderFacts(True, free_bytes=1000), "problem"),
        (FolderFacts(True, "Permission denied"), "problem"),
    ],
)
def test_our_folders(tmp_path, facts, state):
    found = checks.check_folder("dd_results", tmp_path if facts else None, facts)
    assert found.state == state
    assert bool(found.remedy) == (state != "ok")


def test_an_unset_folder_says_how_to_set_it():
    found = checks.check_folder("dd_results", None, None)
    assert (found.found, found.remedy) == ("not set", "export dd_results=DIR, or give --results DIR")


def test_locks():
    without = FolderFacts(True, lock_trouble="No locks available", free_bytes=GB)
    assert checks.check_locks({"p": GOOD, "r": GOOD}).state == "ok"
    found = checks.check_locks({"p": GOOD, "r": without})
    assert (found.state, found.found) == ("warning", "r: No locks available")
    assert checks.check_locks({"p": FolderFacts(True, "Permission denied")}).state == "warning"


def test_devices():
    assert checks.check_devices([H200, CPU], True) == Check(
        "devices", "ok", "cuda: NVIDIA H200, 139.0 GB, fast bfloat16; cpu: Old CPU, 8.0 GB, no fast bfloat16"
    )
    missed = checks.check_devices([CPU], True)
    assert missed.state == "warning" and "torch finds no GPU" in missed.found and missed.remedy
    assert checks.check_devices([CPU], False).state == "ok"


def test_memory_and_its_like():
    states = [checks.check_memory(int(gb * GB)).state for gb in (16, 2, 0.5)]
    assert states == ["ok", "warning", "problem"]
    assert checks.check_processors(2, 8).found == "2 of 8 may be used"
    assert [checks.check_open_files(n).state for n in (None, 1024, 128)] == ["ok", "ok", "warning"]


def test_shared_memory():
    assert checks.check_shared_memory(GB, None).found == "processes can be started; 1.00 GB free in /dev/shm"
    assert checks.check_shared_memory(None, None).found == "processes can be started"
    full = checks.check_shared_memory(0, "no semaphores can be made")
    assert full.state == "warning" and "--shm-size" in full.remedy


def test_a_check_that_fails_itself_does_not_end_the_others(folders, quick, monkeypatch, capsys):
    def fail():
        raise OSError("libtorch.so: cannot open shared object file")

    monkeypatch.setattr(checks, "_devices", fail)
    assert doctor.main([*folders, "--json"]) == 2
    found = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert found["devices"]["state"] == "problem"
    assert found["devices"]["found"] == "OSError: libtorch.so: cannot open shared object file"
    assert found["open files"]["state"] == "ok"


def test_a_module_that_cannot_be_imported_is_named(monkeypatch):
    def importing(name):
        if name.startswith("dd_nnunet.report"):
            raise ModuleNotFoundError("No module named 'jinja2'")

    monkeypatch.setattr(checks.importlib, "import_module", importing)
    found = checks.check_modules()
    assert found.state == "problem"
    assert found.found.startswith("dd_nnunet.report: ModuleNotFoundError: No module named 'jinja2' (and ")
