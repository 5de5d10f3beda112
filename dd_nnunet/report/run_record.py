"""What a report knows of a training: its log, its starts, and how it ended."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.run_folder import RunFolder, is_finished
from dd_nnunet.training.progress_figure import log_of_level

LOG = logging.getLogger(__name__)
Json = dict[str, Any]


@dataclass(frozen=True)
class RunRecord:
    """One training run: its log, the content of debug.json, and of finished.json where it ended."""

    log: tuple[Json, ...]
    debug: Json
    finished: Json | None

    def of_level(self, level: int) -> "RunRecord":
        """What it says of one level, where it trained several at once; else the record itself."""
        finished = self.finished
        if finished is not None:
            finished = {**finished, **(finished.get("levels") or {}).get(str(level), {})}
        return replace(self, log=tuple(map(dict, log_of_level(self.log, level))), finished=finished)


def read_run(folder: Path) -> RunRecord | None:
    """The record of a run folder; None where nothing was begun."""
    # a report only reads, so it takes no lock and may be made while training runs
    log = RunFolder(folder, LOG).read_log()
    finished = read_json(folder / "finished.json") if is_finished(folder) else None
    if not log and finished is None:
        return None
    debug = folder / "debug.json"
    return RunRecord(tuple(log), read_json(debug) if debug.is_file() else {}, finished)
