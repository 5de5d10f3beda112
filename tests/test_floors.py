"""The house: imports go down only, and what may not be there is not there."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "dd_nnunet"
FLOORS = (
    "core",
    "storage",
    "regions",
    "planning",
    "preprocessing",
    "networks",
    "objectives",
    "training",
    "prediction",
    "evaluation",
    "report",
    "commands",
)
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)
FORBIDDEN_ANYWHERE = {"pickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}
TORCH_FREE = {"core", "storage", "regions", "planning"}
CORE_MAY_IMPORT = {"numpy"}
# for non-commercial use only: taken where the user installed it
UNDECLARED = {"bm4d"}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def floor_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "dd_nnunet" and parts[1] in FLOORS else None


def imports_of(path: Path) -> Iterator[str]:
    """All imported modules, those inside functions and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def edges() -> dict[str, set[str]]:
    """Module -> modules of the package that it imports."""
    names = {name_of(path) for path in PACKAGE.rglob("*.py")}
    return {name_of(path): {i for i in imports_of(path) if i in names} - {name_of(path)} for path in MODULES}


def test_every_module_stands_on_a_floor() -> None:
    assert {path.relative_to(PACKAGE).parts[0] for path in MODULES} == set(FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_down(path: Path) -> None:
    own = floor_of(name_of(path))
    assert own is not None
    for imported in imports_of(path):
        floor = floor_of(imported)
        if floor is not None:
            assert FLOORS.index(floor) <= FLOORS.index(own), f"{name_of(path)} imports {imported}"


def test_no_cycles() -> None:
    graph = edges()
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module in done:
            return
        for imported in graph.get(module, ()):
            visit(imported, (*trail, module))
        done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_forbidden_imports(path: Path) -> None:
    roots = {imported.split(".")[0] for imported in imports_of(path)}
    assert not roots & FORBIDDEN_ANYWHERE
    if floor_of(name_of(path)) in TORCH_FREE:
        assert "torch" not in roots
    if floor_of(name_of(path)) == "core":
        third_party = roots - {"dd_nnunet"} - set(__import__("sys").stdlib_module_names)
        assert third_party <= CORE_MAY_IMPORT


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_environment_only_in_workspace(path: Path) -> None:
    if name_of(path) == "dd_nnunet.storage.workspace":
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {i.split(".")[-1] for i in imports_of(path)}
    assert not used & {"environ", "getenv", "putenv"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_labels_are_read_by_evaluation_only(path: Path) -> None:
    floor = floor_of(name_of(path))
    assert floor is not None
    if FLOORS.index(floor) >= FLOORS.index("evaluation") or name_of(path) in (
        "dd_nnunet.storage.workspace",
        "dd_nnunet.storage.volume",
    ):
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not names & {"read_label_map", "labels_tr", "labels_ts"}
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert not texts & {"labelsTr", "labelsTs"}


def test_a_plan_is_made_with_numpy_alone() -> None:
    graph, reached, waiting = edges(), set[str](), ["dd_nnunet.planning.plan_dataset"]
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += graph.get(module, ())
    paths = [path for path in MODULES if name_of(path) in reached]
    roots = {imported.split(".")[0] for path in paths for imported in imports_of(path)}
    assert roots - set(__import__("sys").stdlib_module_names) == {"dd_nnunet", "numpy"}


def test_training_knows_neither_prediction_nor_evaluation() -> None:
    for module, imported in edges().items():
        if floor_of(module) == "training":
            assert not {floor_of(i) for i in imported} & {"prediction", "evaluation", "report"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_print_outside_commands(path: Path) -> None:
    if floor_of(name_of(path)) == "commands":
        return
    calls = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
    assert "print" not in {call.func.id for call in calls if isinstance(call.func, ast.Name)}


def test_every_import_is_declared() -> None:
    """What the package imports from outside is named in setup.py, and nothing else is."""
    modules_of = {
        "SimpleITK": "SimpleITK", "acvl-utils": "acvl_utils", "connected-components-3d": "cc3d",
        "dynamic-network-architectures": "dynamic_network_architectures", "scikit-image": "skimage",
    }  # fmt: skip
    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    listed = text.split("install_requires=[")[1].split("]")[0]
    names = {
        line.strip().strip('",').split(">")[0].split("=")[0] for line in listed.splitlines() if line.strip()
    }
    declared = {modules_of.get(name, name) for name in names}
    stdlib = set(__import__("sys").stdlib_module_names)
    converters = sorted((ROOT / "dataset_conversion").glob("*.py"))
    imported = {i.split(".")[0] for path in [*MODULES, *converters] for i in imports_of(path)}
    assert imported - stdlib - {"dd_nnunet", "dataset_conversion"} - UNDECLARED == declared
