"""documentation/reference/generate.py as a module; it lies in no package."""

import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "documentation").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")]
)


def load_generator() -> ModuleType:
    path = ROOT / "documentation" / "reference" / "generate.py"
    spec = importlib.util.spec_from_file_location("generate_reference", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
