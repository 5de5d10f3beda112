"""The page of promises is made from the fault tests, and every row is on it."""

from pathlib import Path

import pytest
from documentation.generator import ROOT, load_generator

GENERATOR = load_generator("generate_promises.py")
FAULT_TESTS = sorted((ROOT / "tests" / "faults").glob("test_f[0-9]*.py"))
NINE = GENERATOR.read_nine(ROOT / "README.md")


def test_the_page_is_up_to_date() -> None:
    for page, wanted in GENERATOR.pages().items():
        found = page.read_text(encoding="utf-8")
        assert found == wanted, "run: python documentation/reference/generate_promises.py"


def test_every_row_is_there_once() -> None:
    (text,) = GENERATOR.pages().values()
    rows = [line for line in text.splitlines() if line.startswith("| <a id=")]
    assert [row[:23] for row in rows] == [f'| <a id="f{n:02d}"></a>F{n:02d} |' for n in range(1, 86)]


@pytest.mark.parametrize("path", FAULT_TESTS, ids=lambda path: path.stem)
def test_every_fault_test_states_its_promise(path: Path) -> None:
    number = int(path.name[6:8])
    assert GENERATOR.promise_of(path, number), f'its docstring begins with """F{number:02d}: the promise"""'
    assert "xfail" not in path.read_text(encoding="utf-8"), "a promise is not held by a test expected to fail"


def test_rows_by_hand(tmp_path: Path) -> None:
    (tmp_path / "test_f01_a.py").write_text('"""F01: it is refused."""\n')
    (tmp_path / "test_f01_b.py").write_text('"""F01: the error says | why."""\n')
    (tmp_path / "test_f02_c.py").write_text('"""F02: it is told. Not testable here: a real tape."""\n')
    (tmp_path / "test_f03_d.py").write_text('"""F03: it is mended."""\n')
    (tmp_path / "helper.py").write_text('"""No test."""\n')
    rows = GENERATOR.read_rows(tmp_path, {"test_f01_a.py", "test_f01_b.py", "test_f02_c.py"})
    # the third has a test that was not green
    assert [row.state for row in rows] == ["held", "not testable here"] + 83 * ["not held"]
    run = {
        "passed": 5,
        "failed": 1,
        "seconds": 90,
        "slow_tests_too": False,
        "commit": "abc",
        "machine": {"cores": 2},
    }
    text = GENERATOR.promises_page(rows, {"G4": "Labels cannot influence training."}, run)
    assert "5 tests passed, 1 failed (the quick ones, 1.5 minutes on 2 cores, commit abc," in text
    assert "**85 rows: 1 held, 83 not held, 1 not testable here.**" in text
    assert "| G4 | Labels cannot influence training. | [F31](#f31) |" in text
    link = "../../tests/faults/test_f01"
    assert (
        '| <a id="f01"></a>F01 | `.nii.gz` cut off | It is refused. The error says \\| why. '
        f"| [test_f01_a]({link}_a.py)<br>[test_f01_b]({link}_b.py) | held |\n"
    ) in text
    assert '| <a id="f85"></a>F85 | unknown flag | – | – | not held |\n' in text


def test_a_test_of_no_row_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "test_f86_x.py").write_text('"""F86: more."""\n')
    with pytest.raises(ValueError, match="test_f86_x"):
        GENERATOR.read_rows(tmp_path, ())


def test_the_nine_are_those_of_the_readme_and_have_rows() -> None:
    assert list(NINE) == [f"G{number}" for number in range(1, 10)] == list(GENERATOR.ROWS_OF_PROMISE)
    assert {n for rows in GENERATOR.ROWS_OF_PROMISE.values() for n in rows} == set(range(1, 86))
