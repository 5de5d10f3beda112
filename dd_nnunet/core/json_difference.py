"""What differs between two pieces of nested JSON data, in short."""

import json
from collections.abc import Iterator
from typing import Any

LONGEST_VALUE = 60


def differences(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, str, str]]:
    """What differs, as (key like "a.b[0]", old value, new value), long values cut short."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            yield from differences(old.get(name), new.get(name), f"{key}.{name}" if key else name)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from differences(a, b, f"{key}[{index}]")
    elif old != new:
        yield key, _shown(old), _shown(new)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
