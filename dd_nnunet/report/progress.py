"""What the logs of a training say in words: how far it came, how long it took, which parts it lost."""

from collections.abc import Iterator

from dd_nnunet.report.collect import LevelResult
from dd_nnunet.report.run_record import Json, RunRecord
from dd_nnunet.training.progress_figure import selected_epoch

# as training counts them: selection.ALIVE_SHARE, which is not imported here for want of torch
ALIVE = "win at least 2 in 10 000 voxels of the training cases that are monitored"


def kept_entry(run: RunRecord) -> Json:
    """The log entry of the epoch that training kept, else of the last one."""
    kept = selected_epoch(run.log)
    return next((entry for entry in run.log if entry["epoch"] == kept), run.log[-1])


def seconds_of(run: RunRecord) -> float:
    """Wall time spent in the epochs of a run."""
    return sum(float(entry.get("seconds") or 0) for entry in run.log)


def duration_text(seconds: float) -> str:
    """Seconds for people: "48 s", "12 min 5 s", "3 h 20 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def state_of(run: RunRecord | None) -> str:
    """One word for how far a run came: "finished", "running or stopped", "not trained"."""
    if run is None:
        return "not trained"
    return "running or stopped" if run.finished is None else "finished"


def lost_parts(level: LevelResult, plan_again: str) -> Iterator[str]:
    """Loud sentences about parts that were not alive at the epoch that was kept.

    Args:
        level: with its training.
        plan_again: the command that plans other parts.
    """
    if level.run is None:
        return
    entry, plan = kept_entry(level.run), level.plan
    remedy = f"Plan fewer parts for level {plan.level} ({plan_again}), or train longer."
    alive, effective = int(entry["alive_parts"]), float(entry["effective_parts"])
    if alive < plan.n_parts:
        yield (
            f"Level {plan.level} has collapsed: only {alive} of {plan.n_parts} planned parts are alive ({ALIVE}) "
            f"at epoch {entry['epoch']}, which was kept. {remedy}"
        )
    elif level.run.finished is not None and level.run.finished.get("collapsed"):
        yield (
            f"Level {plan.level} was marked as collapsed by training: its {plan.n_parts} parts count as "
            f"{effective:.1f} effective ones. {remedy}"
        )
