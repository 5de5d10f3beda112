"""F52: no name that a file holds is ever imported, looked up or called, be it a network's or any other."""

import ast
import importlib
import os
import subprocess
from pathlib import Path

import pytest
from fault_files import error_of
from small_dataset import make_dataset
from small_model import make_model

from dd_nnunet.commands import predict
from dd_nnunet.core.plan import Plan
from dd_nnunet.storage.atomic import read_json, read_record, write_json

ROOT = Path(__file__).parent.parent.parent
SOURCES = sorted(path for name in ("dd_nnunet", "dataset_conversion") for path in (ROOT / name).rglob("*.py"))
CODE = "os.system"
CONFIGURATION = ("configurations", "3d_fullres")
# modules that turn a text into code or a process
LOADERS = {
    "importlib",
    "pydoc",
    "runpy",
    "imp",
    "pkgutil",
    "code",
    "codeop",
    "zipimport",
    "ctypes",
    "subprocess",
}
BUILTINS = {"eval", "exec", "compile", "__import__", "globals", "locals", "breakpoint", "input"}
CALLS = {"import_module", "locate", "resolve_name", "system", "popen", "spawnl", "execv", "literal_eval"}


def small_plan(tmp_path):
    make_model(tmp_path, folds=())
    return next(tmp_path.rglob("plans.json"))


@pytest.mark.parametrize(
    "place",
    [
        (),
        ("configurations", "3d_fullres"),
        ("configurations", "3d_fullres", "segmenter"),
        ("configurations", "3d_fullres", "diffusion"),
        ("configurations", "3d_fullres", "normalization", 0),
    ],
)
def test_a_plan_has_no_place_for_a_network_name(tmp_path, place):
    path = small_plan(tmp_path)
    plan = inner = read_json(path)
    for key in place:
        inner = inner[key]
    inner["network_class_name"] = CODE
    write_json(path, plan)
    error = error_of(read_record, Plan, path)
    assert "unknown key 'network_class_name'" in error.reason


@pytest.mark.parametrize(
    ("place", "allowed"),
    [
        (("planner",), "'default', 'paper'"),
        (("preset",), "'fast', 'standard', 'paper'"),
        ((*CONFIGURATION, "normalization", 0, "scheme"), "'percentile', 'min_max', 'ct_window'"),
        ((*CONFIGURATION, "precision"), "'bfloat16', 'float32'"),
        ((*CONFIGURATION, "features", "scaling"), "'none', 'standardise', 'whiten'"),
        ((*CONFIGURATION, "features", "visual_target"), "'image', 'denoised'"),
    ],
)
def test_where_a_name_chooses_something_the_choices_are_written_down(tmp_path, place, allowed):
    path = small_plan(tmp_path)
    plan = inner = read_json(path)
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = CODE
    write_json(path, plan)
    error = error_of(read_record, Plan, path)
    assert error.reason.endswith("is 'os.system'")
    assert error.remedy == f"allowed: {allowed}"


def test_where_any_text_may_stand_it_stays_text(tmp_path, monkeypatch):
    dataset = make_dataset(tmp_path, labels=False)
    model = make_model(tmp_path / "results", folds=(0,))
    plan = read_json(model / "plans.json")
    plan["dataset_name"] = CODE
    plan["channel_names"] = [CODE]
    plan["decisions"] = [{"name": CODE, "value": CODE, "because": CODE}]
    write_json(model / "plans.json", plan)
    calls = []
    for module, name in ((os, "system"), (os, "popen"), (subprocess, "Popen"), (importlib, "import_module")):
        monkeypatch.setattr(module, name, lambda *arguments, **_: calls.append(arguments))
    images, out = str(dataset.folders.images_tr), str(tmp_path / "out")
    arguments = ["-m", str(model), "-i", images, "-o", out, "--disable_tta", "-device", "cpu", "-q"]
    assert predict.main_from_modelfolder([*arguments, *dataset.flags]) == 0
    assert not [call for call in calls if CODE in str(call)]


def faults_of(source: str) -> list[str]:
    """Ways in which a source could turn a text into code."""
    found = []
    imported: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            imported |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
            names = [module] if module else [alias.name for alias in node.names]
            found += [n for n in names if n.split(".")[0] in LOADERS and n != "importlib.metadata"]
            found += [a.name for a in node.names if a.name in CALLS]
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in BUILTINS:
                found.append(called.id)
            if isinstance(called, ast.Attribute) and called.attr in CALLS:
                found.append(called.attr)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.modules":
            found.append("sys.modules")
    return found + computed_attributes(source, imported)


def computed_attributes(source: str, imported: set[str]) -> list[str]:
    """getattr of a module by a name that is not written there."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [
        ast.unparse(call)
        for call in calls
        if isinstance(call.func, ast.Name)
        and call.func.id == "getattr"
        and not isinstance(call.args[1], ast.Constant)
        and ast.unparse(call.args[0]).split(".")[0] in imported
    ]


ALLOWED = {
    # which instructions this processor has: three names, written in the line before
    "device.py": ("getattr(torch.cpu, name, bool)",),
    # the signals that this system has: two names, written in the same line
    "stopping.py": ("getattr(signal, name)",),
    # the driver's own tool is asked for the GPU's kind: its name and flags are written there
    "hardware.py": ("subprocess",),
    # dd_doctor tries to import the modules that are installed with it
    "checks.py": ("pkgutil", "importlib", "importlib.import_module", "import_module"),
}


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("import pydoc\npydoc.locate(name)(1)", "locate"),
        ("from importlib import import_module", "importlib"),
        ("x = eval(plan['network'])", "eval"),
        ("import torch\nf = getattr(torch.nn, plan['network'])", "getattr(torch.nn, plan['network'])"),
        ("import os\nos.system(name)", "system"),
        ("import sys\nsys.modules[name]", "sys.modules"),
    ],
)
def test_the_search_finds(source, fault):
    assert fault in faults_of(source)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_product_has_none(path):
    found = faults_of(path.read_text(encoding="utf-8"))
    assert [fault for fault in found if fault not in ALLOWED.get(path.name, ())] == []
