"""dd_predict and dd_predict_from_modelfolder: parts for a folder of volumes."""

import argparse
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dd_nnunet.commands import cli
from dd_nnunet.core.errors import SomeCasesFailedError, UserError
from dd_nnunet.core.units import GB, counted

if TYPE_CHECKING:
    from dd_nnunet.core.dataset import CaseFiles
    from dd_nnunet.prediction.model_folder import ModelFolder
    from dd_nnunet.prediction.predict_folder import PredictionJob

LOGGER = logging.getLogger(__name__)


def build_parser() -> cli.StrictParser:
    """The flags of dd_predict."""
    parser = cli.make_parser(
        "dd_predict", "Predict the parts of every volume in a folder, on the volumes' own grids."
    )
    parser.add_argument(
        "-d", "--dataset", required=True, metavar="ID", help="dataset the model was trained on"
    )
    cli.add_plan_flags(parser, "default: all that are trained")
    return _add_shared(parser)


def build_modelfolder_parser() -> cli.StrictParser:
    """The flags of dd_predict_from_modelfolder."""
    parser = cli.make_parser(
        "dd_predict_from_modelfolder", "As dd_predict, with the model given as a folder ddTrainer__…"
    )
    parser.add_argument("-m", "--model", required=True, metavar="DIR", help="the model folder")
    return _add_shared(parser)


def _add_shared(parser: cli.StrictParser) -> cli.StrictParser:
    parser.add_argument("-i", "--input", required=True, metavar="IN", help="volumes, {case}_0000{ending}")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="gets level1/ level2/ …")
    parser.add_argument(
        "-f", "--folds", nargs="+", metavar="FOLD", help="folds to average; default: all found"
    )
    parser.add_argument(
        "-l", "--level", type=int, nargs="+", default=(), metavar="N", help="levels; default: all"
    )
    parser.add_argument(
        "-step_size", type=float, default=0.5, metavar="S", help="step between patches, in (0,1]"
    )
    parser.add_argument("--disable_tta", action="store_true", help="no mirrored copies: 8 times faster")
    parser.add_argument("--save_probabilities", action="store_true", help="also write {case}.b2nd")
    parser.add_argument("--continue_prediction", action="store_true", help="keep what is done already")
    parser.add_argument("-num_parts", type=int, default=1, metavar="N", help="share the cases among N runs")
    parser.add_argument("-part_id", type=int, default=0, metavar="I", help="this run's share, 0 to N-1")
    parser.add_argument(
        "--max_ram", type=float, metavar="GB", help="memory of this process; default: what is free"
    )
    cli.add_device_flag(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of dd_predict."""
    return cli.run(build_parser(), _run, argv)


def main_from_modelfolder(argv: Sequence[str] | None = None) -> int:
    """Entry point of dd_predict_from_modelfolder."""
    return cli.run(build_modelfolder_parser(), _run_from_modelfolder, argv)


def _run(args: argparse.Namespace) -> None:
    _check_flags(args)
    folders = cli.workspace(args).trained(args.dataset)
    name = args.configuration
    trained = {} if name else folders.models(args.plans_name)
    if missing := _untrained(trained):
        LOGGER.warning("warning: not trained, so its levels are left out: %s", ", ".join(missing))
    paths = tuple(trained.values()) or (folders.model(args.plans_name, name or cli.FULL_RESOLUTION),)
    _predict(args, paths, cli.no_model_remedy(args, name or cli.FULL_RESOLUTION))


def _untrained(trained: dict[str, Path]) -> list[str]:
    """Planned configurations that have no model folder, each with its levels."""
    from dd_nnunet.core.plan import Plan
    from dd_nnunet.storage.atomic import read_record

    if not trained:
        return []
    plan = read_record(Plan, next(iter(trained.values())) / "plans.json")
    return [
        f"{name} (level {' '.join(str(level.level) for level in configuration.levels)})"
        for name, configuration in plan.configurations.items()
        if name not in trained
    ]


def _run_from_modelfolder(args: argparse.Namespace) -> None:
    _check_flags(args)
    model = cli.input_folder(args.model, "a trained model (ddTrainer__…)", "-m")
    _predict(args, (model,), "give the folder ddTrainer__… that holds plans.json and fold_0 with -m")


def _check_flags(args: argparse.Namespace) -> None:
    if not 0 < args.step_size <= 1:
        raise UserError("-step_size", f"is {args.step_size}", "allowed: above 0, at most 1")
    if args.num_parts < 1:
        raise UserError("-num_parts", f"is {args.num_parts}", "allowed: 1 or more")
    if not 0 <= args.part_id < args.num_parts:
        raise UserError(
            "-part_id", f"is {args.part_id} of {args.num_parts}", f"allowed: 0 to {args.num_parts - 1}"
        )
    if args.max_ram is not None and not 0 < args.max_ram < math.inf:
        raise UserError("--max_ram", f"is {args.max_ram:g}", "allowed: above 0")


def _predict(args: argparse.Namespace, model_paths: Sequence[Path], remedy: str) -> None:
    """Predict with these models; the remedy is for a path that holds none."""
    images = cli.input_folder(args.input, "cases", "-i")
    # before torch is loaded, which the estimates count as well
    max_ram_bytes = _max_ram_bytes(args)

    from dd_nnunet.prediction.model_folder import ModelFolder
    from dd_nnunet.storage.raw_dataset import find_cases

    models = [ModelFolder.open(path, remedy) for path in model_paths]
    cases = find_cases(images, models[0].description)
    # all are checked before any work
    jobs = [_job(args, model, levels, max_ram_bytes) for model, levels in _with_levels(args, models)]
    mine = cases[args.part_id :: args.num_parts]
    states: dict[str, set[str]] = {case.case_id: set() for case in mine}
    for job in jobs:
        for case_id, state in _states(args, job, cases, mine):
            states[case_id].add(state)
    failed = sorted(case_id for case_id, found in states.items() if "failed" in found)
    n_kept = sum(found == {"kept"} for found in states.values())
    n_predicted = len(mine) - len(failed) - n_kept
    LOGGER.info("%s: %d predicted, %d there already, %d failed; in %s",
                counted(len(mine), "case"), n_predicted, n_kept, len(failed), args.output)  # fmt: skip
    if failed:
        reason = f"{len(failed)} of {counted(len(mine), 'case')} failed: {', '.join(failed)}"
        raise SomeCasesFailedError(args.input, reason, "the errors above say why; the others are done")


def _with_levels(
    args: argparse.Namespace, models: "Sequence[ModelFolder]"
) -> "Iterator[tuple[ModelFolder, tuple[int, ...]]]":
    """Each model with those of the wanted levels that it serves, () = all; models without any are left out."""
    planned = {level.level for model in models for level in model.configuration.levels}
    for number in args.level:
        if number not in planned:
            shown = ", ".join(map(str, sorted(planned)))
            raise UserError(f"level {number}", "is not in the model", f"levels: {shown}")
    for model in models:
        wanted = tuple(n.level for n in model.configuration.levels if n.level in args.level)
        if wanted or not args.level:
            yield model, wanted


def _states(
    args: argparse.Namespace, job: "PredictionJob", cases: "Sequence[CaseFiles]", mine: "Sequence[CaseFiles]"
) -> "Iterable[tuple[str, str]]":
    """Predict this run's share of the cases; what became of each, as `FolderPrediction.run` has it."""
    from dd_nnunet.prediction.predict_folder import FolderPrediction
    from dd_nnunet.storage.progress_bar import progress_bar

    LOGGER.info("%s, levels %s, folds %s; %s", counted(len(mine), "case"),
                " ".join(str(n.level) for n in job.levels), " ".join(job.folds),
                job.settings.runtime.because)  # fmt: skip
    states: Iterable[tuple[str, str]] = progress_bar(
        FolderPrediction.open(job, cases).run(mine),
        total=len(mine),
        desc="predict",
        unit="case",
        disable=args.no_pbar or args.quiet,
    )
    return states


def _max_ram_bytes(args: argparse.Namespace) -> float:
    from dd_nnunet.storage.hardware import available_ram_bytes

    return float(available_ram_bytes() if args.max_ram is None else args.max_ram * GB)


def _job(
    args: argparse.Namespace, model: "ModelFolder", wanted: tuple[int, ...], max_ram_bytes: float
) -> "PredictionJob":
    from dd_nnunet.networks.device import choose_runtime
    from dd_nnunet.prediction.predict_case import PredictionSettings
    from dd_nnunet.prediction.predict_folder import PredictionJob
    from dd_nnunet.storage.atomic import check_output_folder

    folds = tuple(args.folds or found_folds(model, wanted))
    settings = PredictionSettings(
        configuration=model.configuration,
        runtime=choose_runtime(args.device, model.configuration.precision),
        step_size=args.step_size,
        mirror=not args.disable_tta,
        save_probabilities=args.save_probabilities,
    )
    levels = model.levels(folds, wanted)
    for name in ("", *(f"level{level.level}" for level in levels)):
        check_output_folder(Path(args.output) / name)
    if not wanted and len(levels) < len(model.configuration.levels):
        LOGGER.warning("only the levels that these folds have finished are predicted")
    # one folder may hold the levels of several configurations
    name = f"_{model.configuration_name}" if len(model.plan.configurations) > 1 else ""
    share = f"_{args.part_id}_of_{args.num_parts}" if args.num_parts > 1 else ""
    return PredictionJob(
        model=model,
        folds=folds,
        levels=levels,
        settings=settings,
        output=Path(args.output),
        keep_existing=args.continue_prediction,
        record_name=f"predictions{name}{share}.json",
        max_ram_bytes=max_ram_bytes,
    )


def found_folds(model: "ModelFolder", wanted: Sequence[int]) -> tuple[str, ...]:
    """The folds that have finished every wanted level (default: every level that any fold has begun)."""
    paths = [path for path in model.path.glob("fold_*") if "." not in path.name]
    names = sorted(path.name.removeprefix("fold_") for path in paths)
    folds = [name for name in names if name != "all"] or names
    begun = {level for fold in folds for level in model.begun_levels(fold)}
    unfinished = {
        fold: [n for n in wanted or sorted(begun) if n not in model.finished_levels(fold)] for fold in folds
    }
    finished = tuple(fold for fold in folds if begun and not unfinished[fold])
    for fold in folds:
        if fold not in finished:
            LOGGER.warning(
                "fold %s is left out: level %s is not finished", fold, " ".join(map(str, unfinished[fold]))
            )
    if not finished:
        remedy = f"run: {model.training_command(folds[0] if folds else '0')}, or choose -f and -l"
        raise UserError(model.path, "holds no fold that is finished", remedy)
    return finished
