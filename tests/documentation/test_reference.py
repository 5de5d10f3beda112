"""The reference follows from the code, and the explanations name what is there."""

import json
import re
import typing
from pathlib import Path

import pytest
from documentation.generator import ROOT, load_generator

from dd_nnunet.core.dataset import describe_dataset
from dd_nnunet.core.plan import Plan

GENERATOR = load_generator()
EXPLANATION = ROOT / "documentation" / "explanation"
REFERENCE = ROOT / "documentation" / "reference"
MODULES = sorted(
    path.relative_to(ROOT)
    for folder in ("dd_nnunet", "dataset_conversion")
    for path in (ROOT / folder).rglob("*.py")
    if path.name != "__init__.py"
)


@pytest.mark.parametrize("page", GENERATOR.pages(), ids=lambda page: page.name)
def test_generated_pages_are_up_to_date(page: Path) -> None:
    wanted = GENERATOR.pages()[page]
    assert page.read_text(encoding="utf-8") == wanted, "run: python documentation/reference/generate.py"


@pytest.mark.parametrize("record", [*GENERATOR.PLAN_RECORDS, *GENERATOR.FINGERPRINT_RECORDS])
def test_docstrings_describe_fields_that_are_there_and_no_others(record: type) -> None:
    assert list(GENERATOR.describe_fields(record)) == list(record.__dataclass_fields__)


@pytest.mark.parametrize("record", GENERATOR.FINGERPRINT_RECORDS)
def test_measured_numbers_have_a_range_and_a_room(record: type) -> None:
    """The module that measures it, its bounds, and its unit where that is millimetres."""
    modules = {path.name for path in MODULES}
    bounds = re.compile(r"in [(\[]|at least \d|at most|1 to 3|any number|above 0|never below")
    for name, meaning in GENERATOR.describe_fields(record).items():
        kind = GENERATOR.json_form(typing.get_type_hints(record)[name])
        if name == "schema_version" or "number" not in kind:
            continue
        sources = set(re.findall(r"\w+\.py", meaning))
        assert sources and sources <= modules, name
        assert bounds.search(meaning), name
        assert "mm" not in name or " mm" in meaning, name


def test_docstrings_are_read_by_hand() -> None:
    class Sample:
        """A sample.

        Args:
            first, second: two of
                a kind.
            third: another: with a colon.
        """

    found = {"first": "two of a kind", "second": "two of a kind", "third": "another: with a colon"}
    assert GENERATOR.describe_fields(Sample) == found


def test_types_in_words() -> None:
    assert GENERATOR.json_form(tuple[int, ...]) == "list of whole numbers"
    assert GENERATOR.json_form(tuple[tuple[int, int, int], ...]) == "list of lists of 3 whole numbers"
    assert GENERATOR.json_form(tuple[float, float]) == "2 numbers"
    assert GENERATOR.json_form(dict[str, Plan]) == "object: name → [Plan](#plan)"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_the_architecture_names_every_module_on_its_floor(module: Path) -> None:
    text = (EXPLANATION / "architecture.md").read_text(encoding="utf-8")
    folder = module.parent.as_posix().removeprefix("dd_nnunet/")
    section = re.search(
        rf"^### .*`{re.escape(folder)}/`$(.*?)(?=^#|\Z)", text, flags=re.MULTILINE | re.DOTALL
    )
    assert section is not None, f"architecture.md has no heading for {folder}/"
    assert f"`{module.name}`" in section[1], f"architecture.md does not name {module}"


def test_the_architecture_names_no_module_that_is_gone() -> None:
    text = (EXPLANATION / "architecture.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(\w+\.py)`", text)) <= {module.name for module in MODULES}


def test_examples_of_dataset_json_are_read() -> None:
    text = (REFERENCE / "dataset-json.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```json\n(.+?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert len(examples) >= 2
    for example in examples:
        describe_dataset(json.loads(example), "example")


def test_decisions_are_short_and_numbered() -> None:
    decisions = sorted((ROOT / "documentation" / "decisions").glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 40, f"{path.name} has {len(lines)} lines"
        headings = [line for line in lines if line.startswith("## ")]
        assert headings == ["## Context", "## Decision", "## Consequences"], path.name


def test_the_changelog_ends_with_the_version_and_says_what_changes_results() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    entries = re.split(r"^- ", text, flags=re.MULTILINE)[1:]
    assert entries
    for entry in entries:
        assert re.search(r"changes results: (yes|no)", " ".join(entry.split())), entry


def test_every_dependency_has_its_licence_in_the_notice() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8").lower()
    listed = (ROOT / "setup.py").read_text(encoding="utf-8").split("install_requires=[")[1].split("]")[0]
    for name in re.findall(r'"([\w-]+)', listed):
        assert re.search(rf"^{name.lower()}\b", notice, flags=re.MULTILINE), name
