"""What a reader must know before believing the pictures: warnings first, then what is not there."""

from collections.abc import Iterator, Mapping

from dd_nnunet.core.plan_names import plans_flag
from dd_nnunet.core.units import counted
from dd_nnunet.report.collect import Collected
from dd_nnunet.report.parts import PartSizes, empty_parts
from dd_nnunet.report.progress import lost_parts
from dd_nnunet.report.scores import ScoreTable, better_rivals


def warnings_of(
    pieces: Collected, tables: tuple[ScoreTable, ...], sizes: Mapping[int, PartSizes]
) -> tuple[str, ...]:
    """Everything that speaks against the result, the worst first.

    Args:
        pieces: of the report.
        tables: of scores.
        sizes: of the parts in the predictions, by level.
    """
    named = plans_flag(pieces.request.plans_name, "-overwrite_plans_name")
    plan_again = f"{pieces.plan.planning_anew(pieces.plan.dataset_name)}{named} --parts …"
    trained = f"Fold {pieces.request.fold}: " if pieces.request.predictions else ""
    found = [f"{trained}{line}" for level in pieces.levels for line in lost_parts(level, plan_again)]
    found += [line for level, measured in sizes.items() for line in empty_parts(level, measured)]
    found += [line for table in tables for line in better_rivals(table)]
    found += list(_evaluation_warnings(pieces))
    found += list(_prediction_warnings(pieces))
    found += pieces.fingerprint.warnings if pieces.fingerprint else ()
    return tuple(found)


def subject_of(pieces: Collected) -> str:
    """Whose parts the page shows, e.g. "fold 0" or "predictions by folds 0, 1, 2, averaged"."""
    if pieces.request.predictions is None:
        return f"fold {pieces.request.fold}"
    folds = pieces.predicted.folds
    if not folds:
        return "given predictions"
    return (
        f"predictions by folds {', '.join(folds)}, averaged"
        if folds[1:]
        else f"predictions by fold {folds[0]}"
    )


def notes_of(pieces: Collected) -> tuple[str, ...]:
    """What this report cannot show, and which command would add it."""
    return tuple(_notes(pieces))


def _evaluation_warnings(pieces: Collected) -> Iterator[str]:
    for level in pieces.levels:
        name, summary = f"Level {level.plan.level}", level.summary or {}
        missing = summary.get("missing") or []
        if missing:
            yield f"{name}: no prediction for {', '.join(missing)}; these cases count as Dice 0."
        unexpected = summary.get("unexpected_labels") or {}
        if unexpected:
            values = ", ".join(
                f"{label} ({counted(voxels, 'voxel')})" for label, voxels in unexpected.items()
            )
            yield f"{name}: the truth holds labels that dataset.json does not name: {values}."


def _prediction_warnings(pieces: Collected) -> Iterator[str]:
    for case_id, record in pieces.predicted.cases.items():
        if record.get("state") == "failed":
            yield f"Case {case_id} could not be predicted: {record.get('reason')}"
        for warning in record.get("warnings") or []:
            yield f"Case {case_id}: {warning}"


def _notes(pieces: Collected) -> Iterator[str]:
    request = pieces.request
    plans = plans_flag(request.plans_name)
    again = f"dd_train {request.folders.name} {request.configuration} {request.fold}{plans}"
    if pieces.diffusion is None:
        yield f"The diffusion model of fold {request.fold} is not trained yet: run {again}"
    untrained = [str(level.plan.level) for level in pieces.levels if level.run is None]
    if untrained:
        yield f"No segmenter is trained yet for level {', '.join(untrained)}: run {again}"
    if request.predictions:
        yield (
            f"The training of any fold but {request.fold}: curves and living parts are that fold's, "
            f"the pictures and sizes are those of {request.predictions}."
        )
    if not any(level.predictions for level in pieces.levels):
        yield "There are no predictions to show; the pictures show the images alone."
    if not pieces.images:
        yield "The raw images are not at hand, so there are no pictures: set dd_raw, or give --images DIR"
    if not pieces.truth:
        yield (
            "There are no true labels, so nothing here is scored and no picture has a truth column. "
            "That is the normal case: discovery needs no labels."
        )
    elif not any(level.summary for level in pieces.levels):
        yield "There are true labels, but no scores yet: run dd_evaluate_folder, or dd_train to its end."
    elif not pieces.baselines:
        yield (
            "No baseline stands beside the scores: "
            f"run dd_baseline -d {request.folders.name} -c {request.configuration}{plans} "
            f"-f {request.fold} --method denoise-kmeans"
        )
