"""Every command line in the pages is one that the commands take."""

import re
import shlex
from pathlib import Path

import pytest
from documentation.generator import PAGES, ROOT, load_generator

PARSERS = load_generator().read_parsers()
# what looks like a command and is none
OTHER_NAMES = {"dd_nnunet", "dd_raw", "dd_preprocessed", "dd_results"}


def command_lines(page: Path) -> list[str]:
    blocks = re.findall(
        r"^```bash\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip().startswith("dd_")]


LINES = [(page, line) for page in PAGES for line in command_lines(page)]


@pytest.mark.parametrize(("page", "line"), LINES, ids=[f"{p.stem}: {line}" for p, line in LINES])
def test_flags_are_known(page: Path, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    command, *arguments = shlex.split(line, comments=True)
    try:
        PARSERS[command].parse_args(arguments)
    except SystemExit:
        pytest.fail(f"{page.relative_to(ROOT)}: {line}\n{capsys.readouterr().err}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_only_commands_that_exist_are_named(page: Path) -> None:
    named = set(re.findall(r"(?<![\w/.])dd_[a-z0-9_]+\b(?![/.(])", page.read_text(encoding="utf-8")))
    assert named - set(PARSERS) - OTHER_NAMES == set()


def test_the_readme_has_the_two_commands_of_the_makefile() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test"):
        assert f"```bash\nmake {target}\n```" in readme
        assert f"\n{target}:" in makefile


def test_what_contributors_are_told_to_make_is_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `make ([a-z-]+)` \|", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {"test", "test-slow", "test-gpu", "bench", "bench-gpu"} <= set(rows)
    phony = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split()
    for target in rows:
        assert target in phony and f"\n{target}: " in makefile and f"#   make {target} " in makefile
