"""The log of a training: a line per epoch, and its pictures, redrawn now and then."""

import time
from collections.abc import Mapping

from dd_nnunet.storage.run_folder import RunFolder
from dd_nnunet.training.progress_figure import log_of_level, write_progress

REDRAW_SECONDS = 10.0


class EpochLog:
    """Appends to log.jsonl and keeps progress.png, or one picture per level, at most ten seconds behind.

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
            self._draw()
            self._drawn_at = time.monotonic()

    def _draw(self) -> None:
        log = self.run.read_log()
        levels = log[0].get("levels")
        if not levels:
            write_progress(log, self.run.path / "progress.png", self.title)
        for number in levels or ():
            path = self.run.path / f"progress_level{number}.png"
            write_progress(log_of_level(log, int(number)), path, f"{self.title}: level {number}")
