"""Every relative link of every page leads somewhere, anchors included."""

import re
from pathlib import Path

import pytest
from documentation.generator import PAGES, ROOT

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def prose_of(page: Path) -> str:
    """The text without comments, code blocks and code in a line."""
    text = re.sub(r"<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "code", text)


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page, and those that stand in it."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain} | set(
        re.findall(r"""<a id=["']([\w-]+)["']>""", text)
    )


def test_anchors_by_hand(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# The plan: `ddPlans.json`\n\n```bash\n# no heading\n```\n\n## Step 1, first\n<a id='f01'></a>"
    )
    assert anchors_of(page) == {"the-plan-ddplansjson", "step-1-first", "f01"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose_of(page)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link}: there is no {name}"
        assert ROOT in target.parents, f"{link} leaves the repository"
        if anchor:
            assert anchor in anchors_of(target), f"{link}: no such heading"


def test_every_page_can_be_reached_from_the_readme() -> None:
    found, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        found.add(page)
        links = (link.partition("#")[0] for link in LINK.findall(prose_of(page)))
        targets = ((page.parent / link).resolve() for link in links if link.endswith(".md"))
        todo += [target for target in targets if target in PAGES and target not in found]
    assert sorted(set(PAGES) - found) == []
