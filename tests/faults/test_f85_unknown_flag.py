"""F85: an unknown flag is an error of one line, with a suggestion where one is close; no flag may be shortened."""

import importlib
import re
from pathlib import Path

import pytest

SETUP = (Path(__file__).parents[2] / "setup.py").read_text(encoding="utf-8")
COMMANDS = re.findall(r'"(dd_\w+)": "(\w+):(\w+)"', SETUP)
PLANNING = [command for command in COMMANDS if command[1] == "plan_and_preprocess"]


def test_setup_names_commands():
    assert len(COMMANDS) > 10 and len(PLANNING) == 4


@pytest.mark.parametrize(("name", "module", "function"), COMMANDS)
def test_an_unknown_flag_is_an_error(name, module, function, capsys):
    main = getattr(importlib.import_module(f"dd_nnunet.commands.{module}"), function)
    with pytest.raises(SystemExit) as caught:
        main(["--no_such_flag"])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{name}: error: ")


@pytest.mark.parametrize(
    ("typo", "meant"), [("--presett", "--preset"), ("-gpu_memory_targt", "-gpu_memory_target")]
)
def test_a_typo_gets_a_suggestion(typo, meant, capsys):
    from dd_nnunet.commands.plan_and_preprocess import main

    with pytest.raises(SystemExit) as caught:
        main(["-d", "1", typo])
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        f"dd_plan_and_preprocess: error: unknown argument '{typo}'; did you mean {meant}?\n"
    )


def test_abbreviations_are_unknown_flags(capsys):
    from dd_nnunet.commands.plan_and_preprocess import main

    with pytest.raises(SystemExit):
        main(["-d", "1", "--pre", "fast"])
    assert "unknown argument '--pre'" in capsys.readouterr().err
