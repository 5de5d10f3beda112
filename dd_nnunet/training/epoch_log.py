"""The log of a training: a line per epoch, and its picture, redrawn now and then."""

import time
from collections.abc import Mapping

from dd_nnunet.storage.run_folder import RunFolder
from dd_nnunet.training.progress_figure import write_progress

REDRAW_SECONDS = 10.0


class EpochLog:
    """Appends to log.jsonl and keeps progress.png at most ten seconds behind.

    Args:
        run: the open run folder.
        title: above the picture.
    """

    def __init__(self, run: RunFolder, title: str) -> None:
        self.run = run
        self.title = title
        self._drawn_at = 0.0

    def append(self, entry: Mapping[str, object], last: bool) -> None:
        """Add an epoch; the last one is always drawn."""
        self.run.append_log(entry)
        if last or time.monotonic() - self._drawn_at > REDRAW_SECONDS:
            write_progress(self.run.read_log(), self.run.path / "progress.png", self.title)
            self._drawn_at = time.monotonic()
