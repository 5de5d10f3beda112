"""Our commands, run by benchmarks as a user would run them: what they say is shown and kept, with their times."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dd_nnunet.storage.workspace import Workspace


@dataclass(frozen=True)
class Commands:
    """Runs commands in a workspace.

    Args:
        workspace: its three folders are given to every command.
        log: what the commands said.
        times: one line of JSON per command: arguments, seconds, exit code.
    """

    workspace: Workspace
    log: Path
    times: Path

    def run(self, module: str, *arguments: str, function: str = "main") -> float:
        """Run one to its end.

        Args:
            module: of `dd_nnunet.commands`.
            arguments: flags and values, without those of the workspace.
            function: its entry point.

        Returns:
            Seconds that it took.

        Raises:
            SystemExit: it ended otherwise than well.
        """
        folders = {
            "--raw": self.workspace.raw,
            "--preprocessed": self.workspace.preprocessed,
            "--results": self.workspace.results,
        }
        places = [str(part) for pair in folders.items() for part in pair]
        script = f"import sys; from dd_nnunet.commands.{module} import {function}; sys.exit({function}())"
        started = time.monotonic()
        code = self._told([sys.executable, "-c", script, *arguments, "--no_pbar", *places])
        seconds = round(time.monotonic() - started, 1)
        entry = {"command": [module, *arguments], "seconds": seconds, "exit_code": code}
        with self.times.open("a", encoding="utf-8") as times:
            times.write(json.dumps(entry) + "\n")
        if code:
            raise SystemExit(code)
        return seconds

    def _told(self, command: Sequence[str]) -> int:
        """Run it, show and keep what it says; its exit code."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
                log.write(line)
        return process.wait()
