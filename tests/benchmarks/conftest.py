"""Scripts of benchmarks/ import each other from their own folder, and the tests import them like that."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
