"""The generators of documentation/reference as modules; they lie in no package."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "documentation").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")]
)


def load_generator(name: str = "generate.py") -> ModuleType:
    path = ROOT / "documentation" / "reference" / name
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # where dataclasses look for the module of a class
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
