"""Run commands in a process that may open no network socket, nor may its children."""

import os
import subprocess
import sys
from pathlib import Path

# Python imports a module of this name at its start, in child processes too. An audit hook sees sockets however they
# are made, and cannot be removed; the file it writes to shows those whose error somebody caught.
SITE = """
import socket, sys

def no_network(event, arguments):
    made = event == "socket.__new__" and arguments[1] in (socket.AF_INET, socket.AF_INET6)
    if made or event in ("socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"):
        with open({log!r}, "a", encoding="utf-8") as stream:
            stream.write(f"{{event}} {{arguments[1:]}}\\n")
        raise OSError("the network is not to be used")

sys.addaudithook(no_network)
"""


def run_offline(folder: Path, code: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run Python code.

    Args:
        folder: an empty one, for the driver's files.
        code: what to run.

    Returns:
        The process, ended, and a line for every attempt to use the network.
    """
    log = folder / "network.log"
    log.touch()
    (folder / "sitecustomize.py").write_text(SITE.format(log=str(log)), encoding="utf-8")
    tests = Path(__file__).parent
    paths = [
        str(folder),
        str(tests.parent),
        str(tests),
        str(tests / "commands"),
        os.environ.get("PYTHONPATH", ""),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, encoding="utf-8", check=False
    )
    return done, log.read_text(encoding="utf-8")
