import json

import pytest
import running
from running import Commands

from dd_nnunet.storage.workspace import Workspace


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Whose commands are short scripts, in place of the module's."""
    real = running.subprocess.Popen

    def popen(command, **more):
        script = f"import sys; print('says', {command[3]!r}); sys.exit({int(command[3] == 'bad')})"
        return real([command[0], "-c", script], **more)

    monkeypatch.setattr(running.subprocess, "Popen", popen)
    workspace = Workspace(*(tmp_path / part for part in ("raw", "preprocessed", "results")))
    return Commands(workspace, tmp_path / "logs" / "log.txt", tmp_path / "logs" / "times.jsonl")


def test_what_commands_say_is_shown_and_kept_with_their_times(commands, capsys):
    seconds = commands.run("train", "good")
    with pytest.raises(SystemExit) as ended:
        commands.run("train", "bad")
    assert ended.value.code == 1
    assert capsys.readouterr().out == commands.log.read_text() == "says good\nsays bad\n"
    first, second = map(json.loads, commands.times.read_text().splitlines())
    assert first == {"command": ["train", "good"], "seconds": seconds, "exit_code": 0}
    assert (second["command"], second["exit_code"]) == (["train", "bad"], 1)
