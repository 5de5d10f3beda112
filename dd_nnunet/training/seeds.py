"""Random numbers from what they are for, never from global state."""

import hashlib


def derive_seed(seed: int, *purpose: object) -> int:
    """A seed for one purpose, e.g. `derive_seed(seed, "batch", iteration)`.

    Returns:
        A whole number in [0, 2³²), as numpy and torch take it; the same on every machine and version.
    """
    text = "\x1f".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:4], "big")
