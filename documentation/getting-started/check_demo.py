"""Does the demo reach what it should? Exit code 1 if not.

    python documentation/getting-started/check_demo.py demo

On the held-out volumes, level 1 has to reach a Dice of 0.95 and all levels have to lie above k-means, under both
protocols. Denoising before k-means is a stronger rival; its row stands in the table as it is.
"""

import sys
from pathlib import Path

from dd_nnunet.storage.atomic import read_json

LEVEL_1_DICE = 0.95
LEVELS = (1, 2, 3)


def dice(folder: Path, level: int) -> dict[str, float]:
    """Mean Dice per protocol of a method's test predictions."""
    protocols = read_json(folder / f"level{level}" / "summary.json")["protocols"]
    return {name: protocols[name]["dice"] for name in ("hsu", "strict")}


def failures(test: Path) -> list[str]:
    """What falls short, in words."""
    found = []
    for level in LEVELS:
        ours, rival = dice(test / "dd_nnunet", level), dice(test / "kmeans", level)
        for protocol, score in ours.items():
            if level == 1 and score < LEVEL_1_DICE:
                found.append(f"level 1, {protocol}: {score:.3f} is below {LEVEL_1_DICE}")
            if score <= rival[protocol]:
                found.append(
                    f"level {level}, {protocol}: {score:.3f} is not above k-means ({rival[protocol]:.3f})"
                )
    return found


def main() -> int:
    """Say whether the demo reached its marks."""
    found = failures(Path(sys.argv[1]) / "test")
    for failure in found:
        sys.stderr.write(f"demo: {failure}\n")
    if not found:
        sys.stdout.write(f"Checked: level 1 is at least {LEVEL_1_DICE}, and all levels are above k-means.\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
