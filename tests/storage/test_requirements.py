import importlib.metadata

import pytest

from dd_nnunet.storage.requirements import Requirement, requirements


@pytest.mark.parametrize(
    ("wanted", "found", "met"),
    [
        (">=2.10", "2.10", True),
        (">=2.10", "2.13.0+cpu", True),
        (">=2.10", "2.9.1", False),
        (">=0.4.4,<0.5", "0.4.4", True),
        ("<0.5,>=0.4.4", "0.5.0", False),
        (">=0.3.0", "0.3", True),
        (">=2024.1", "2026.3.3", True),
        ("", "1.0", True),
        (">=1.0", None, False),
    ],
)
def test_versions_are_compared_by_their_numbers(wanted, found, met):
    assert Requirement("x", wanted, found).met is met


def test_requirements_are_those_of_the_installed_package(monkeypatch):
    lines = ["torch>=2.10", "no-such-package (>=1.0)", 'pytest; extra == "dev"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: lines)
    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: {"Requires-Python": ">=3.11"})
    python, torch, missing = requirements()
    assert (python.package, python.wanted, python.met) == ("python", ">=3.11", True)
    assert (torch.package, torch.wanted, torch.found) == (
        "torch",
        ">=2.10",
        importlib.metadata.version("torch"),
    )
    assert missing == Requirement("no-such-package", ">=1.0", None)


def test_without_installation_there_is_nothing_to_compare():
    assert requirements("no-such-distribution") == ()
