"""Progress bars, for those who watch and for those who read a file later."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10


def progress_bar(items: Iterable[Any] | None = None, **options: Any) -> Any:
    """A bar of tqdm; one that no one watches, because it goes into a file, writes a line every ten seconds.

    Args:
        items: to go through; None where the caller counts.
        options: of tqdm, such as total, desc, unit and disable.
    """
    seldom = {} if sys.stderr.isatty() else {"mininterval": SECONDS_BETWEEN_LINES}
    return tqdm(items, **seldom, **options)
