"""F53: no format of ours is a pickle, and no reader of ours can be talked into running what a file holds."""

import ast
import pickle
import re
from pathlib import Path

import blosc2
import numpy as np
import pytest
from blosc2.lazyexpr import LazyArrayEnum
from fault_files import error_of

from dd_nnunet.storage.case_store import read_array

ROOT = Path(__file__).parent.parent.parent
SOURCES = sorted(
    path
    for name in ("dd_nnunet", "dataset_conversion", "benchmarks", "documentation")
    for path in (ROOT / name).rglob("*.py")
)
MODULES = {
    "pickle", "_pickle", "cPickle", "pickletools", "dill", "cloudpickle", "joblib", "shelve", "marshal", "copyreg",
}  # fmt: skip
# of any module: pandas, scikit-learn …
CALLS = {"read_pickle", "to_pickle", "load_pickle", "save_pickle", "load_state_dict_from_url"}
# blosc2 has many readers, half of them of pickles
BLOSC2_CALLS = {"asarray", "open"}
NEEDED = {"torch.load": ("weights_only", True), "blosc2.open": ("deserialize", "safe")}
NEVER = {"torch.jit.load", "torch.hub.load", "torch.package.PackageImporter"}
# reads the pickles of others: takes them apart, and never runs them (tests/dataset_conversion/test_numpy_pickle.py)
ONE_ROOM = {"dataset_conversion/numpy_pickle.py": ["pickletools"]}


def faults_of(source: str) -> list[str]:
    """Readers of pickles in a source, and readers that need a word to be safe and lack it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in MODULES]
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            found += [name for name in names if name.split(".")[0] in MODULES or name in {*NEEDED, *NEVER}]
        if isinstance(node, ast.Call):
            found += faults_of_call(node)
    return found


def faults_of_call(call: ast.Call) -> list[str]:
    name = ast.unparse(call.func)
    words = {word.arg: word.value for word in call.keywords}
    found = [name] if name.split(".")[-1] in CALLS or name in NEVER else []
    function = re.fullmatch(r"blosc2\.(\w+)", name)
    found += [name] if function and function[1] not in BLOSC2_CALLS else []
    if name in NEEDED:
        word, value = NEEDED[name]
        given = words.get(word)
        found += [] if isinstance(given, ast.Constant) and given.value == value else [name]
    allowed = words.get("allow_pickle")
    return found + ([] if allowed is None or ast.unparse(allowed) == "False" else ["allow_pickle"])


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("import pickle", "pickle"),
        ("def f():\n    from joblib import load", "joblib"),
        ("import pandas as pd\npd.read_pickle(p)", "pd.read_pickle"),
        ("np.load(p, allow_pickle=True)", "allow_pickle"),
        ("torch.load(p)", "torch.load"),
        ("torch.load(p, weights_only=False)", "torch.load"),
        ("from torch import load", "torch.load"),
        ("blosc2.open(p)", "blosc2.open"),
        ("blosc2.load_tensor(p)", "blosc2.load_tensor"),
    ],
)
def test_the_search_finds(source, fault):
    assert fault in faults_of(source)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_there_is_none(path):
    allowed = ONE_ROOM.get(path.relative_to(ROOT).as_posix(), [])
    assert faults_of(path.read_text(encoding="utf-8")) == allowed


def hostile_array(path: Path, mark: Path) -> None:
    """A .b2nd that holds Python source instead of numbers, which blosc2 before 4.14.1 ran when it was opened."""
    source = f"open({str(mark)!r}, 'w').close()\ndef f(inputs, output, offset):\n    output[:] = 1\n"
    blosc2.asarray(np.ones(4), urlpath=str(path.with_name("operand.b2nd")), mode="w")
    meta = {"LazyArray": LazyArrayEnum.UDF.value}
    array = blosc2.asarray(np.zeros(4), urlpath=str(path), meta=meta, mode="w")
    array.schunk.vlmeta["_LazyArray"] = {"UDF": source, "operands": {"o0": "operand.b2nd"}, "name": "f"}


def test_source_in_an_array_file_is_not_run(tmp_path):
    path, mark = tmp_path / "case.b2nd", tmp_path / "was_run"
    hostile_array(path, mark)
    blosc2.open(str(path), deserialize="full")
    assert mark.exists(), "the sample does work against a reader that trusts it"
    mark.unlink()
    error = error_of(read_array, path)
    assert error.remedy == "run dd_preprocess again"
    assert not mark.exists()


def test_older_blosc2_is_not_taken():
    listed = (ROOT / "setup.py").read_text(encoding="utf-8")
    assert '"blosc2>=4.14.1"' in listed
    assert '"torch>=2.10"' in listed


def test_an_array_file_that_is_a_pickle_or_no_array_is_refused(tmp_path):
    (tmp_path / "pickle.b2nd").write_bytes(pickle.dumps(np.zeros(4)))
    blosc2.SChunk(chunksize=8, data=b"12345678", urlpath=str(tmp_path / "bytes.b2nd"), mode="w")
    for name in ("pickle", "bytes"):
        assert error_of(read_array, tmp_path / f"{name}.b2nd").reason.startswith("is damaged")
