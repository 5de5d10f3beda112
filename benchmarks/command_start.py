"""How long `dd_* -h` takes, for every command, and what it imports.

python benchmarks/command_start.py      # writes benchmarks/results/command_start.json
"""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

from measuring import best_seconds, machine, write_result

HEAVY = ("torch", "SimpleITK", "scipy", "matplotlib", "numpy")


def heavy_imports(target: str) -> list[str]:
    """Heavy modules that `-h` of a command has loaded."""
    module, function = target.split(":")
    code = (
        f"import sys, contextlib, io\nfrom {module} import {function} as main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n    main(['-h'])\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    ).stdout.split()


def main() -> None:
    """Measure all commands."""
    about = machine()
    scripts = Path(sys.executable).parent
    commands = sorted(e for e in entry_points(group="console_scripts") if e.name.startswith("dd_"))
    seconds = {
        e.name: best_seconds(
            lambda e=e: subprocess.run([scripts / e.name, "-h"], capture_output=True, check=True), 3
        )
        for e in commands
    }
    write_result(
        "command_start",
        {
            "command": "python benchmarks/command_start.py",
            "seconds": seconds,
            "slowest": max(seconds.values()),
            "heavy_imports": {e.name: heavy_imports(e.value) for e in commands},
            "machine": about,
        },
    )


if __name__ == "__main__":
    main()
