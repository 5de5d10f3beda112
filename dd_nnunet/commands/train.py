"""dd_train: diffusion pretraining, then a segmenter per level, then validation."""

import argparse
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dd_nnunet.commands import cli
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.plan_names import DEFAULT_PLANS
from dd_nnunet.core.units import counted

if TYPE_CHECKING:
    from dd_nnunet.core.dataset import DatasetDescription
    from dd_nnunet.core.plan import LevelGroup, LevelPlan
    from dd_nnunet.storage.workspace import DatasetFolders
    from dd_nnunet.training.setup import TrainingSetup
    from dd_nnunet.training.stopping import StopRequest

LOGGER = logging.getLogger(__name__)
STAGES = ("all", "diffusion", "segmenter")


def build_parser() -> cli.StrictParser:
    """The flags of dd_train."""
    parser = cli.make_parser(
        "dd_train",
        "Train one fold: the diffusion model, then the segmenters of the levels, then predict and score the fold's "
        "validation cases. The same command resumes; a finished fold says so.",
    )
    parser.add_argument("dataset", metavar="DATASET", help="number or name of the dataset")
    parser.add_argument("configuration", metavar="CONFIG", help="e.g. 3d_fullres")
    parser.add_argument("fold", metavar="FOLD", help="0, 1, 2, 3, 4 or all")
    parser.add_argument("-p", "--plans_name", default=DEFAULT_PLANS, metavar="NAME", help="name of the plan")
    parser.add_argument(
        "-l",
        "--level",
        type=int,
        nargs="+",
        metavar="N",
        help="levels, with those that nest with them; default: all",
    )
    parser.add_argument("--stage", choices=STAGES, default="all", help="train only this")
    parser.add_argument(
        "-pretrained_diffusion", metavar="FILE", help="checkpoint_final.pth of a diffusion model to use"
    )
    cli.add_device_flag(parser)
    parser.add_argument("--seed", type=cli.from_0, default=0, help="decides weights, batches and noise")
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="repeatable algorithms on CUDA too (slower; not yet tested on a real GPU)",
    )
    parser.add_argument("--val", action="store_true", help="only predict and score the validation cases")
    parser.add_argument("--fresh", action="store_true", help="move an existing fold aside and start anew")
    parser.add_argument(
        "--resume",
        choices=("auto", "must"),
        default="auto",
        help="must: an error where nothing was begun yet",
    )
    parser.add_argument(
        "--max_time", type=_hours, metavar="HOURS", help="stop before that, with exit code 75 and all saved"
    )
    parser.add_argument(
        "--strict_env", action="store_true", help="do not resume with other versions, instead of warning"
    )
    return parser


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = math.nan
    if not 0 < hours < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of hours above 0")
    return hours


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of dd_train."""
    return cli.run(build_parser(), _run, argv)


def _run(args: argparse.Namespace) -> None:
    from dd_nnunet.training.stopping import StopRequest

    stop = StopRequest(math.inf if args.max_time is None else 3600 * args.max_time)
    with stop.listening():
        _run_fold(args, stop)


def _run_fold(args: argparse.Namespace, stop: "StopRequest") -> None:
    from dd_nnunet.commands.train_setup import load_fold, make_setup, write_model_files
    from dd_nnunet.storage.atomic import check_output_folder
    from dd_nnunet.storage.folder_lock import locked
    from dd_nnunet.storage.raw_dataset import load_description
    from dd_nnunet.training.memory_error import memory_explained

    folders = cli.workspace(args).dataset(args.dataset)
    plan = cli.read_plan(folders, args.plans_name, args.dataset)
    configuration = plan.configuration(args.configuration)
    levels = tuple(map(configuration.level, sorted(set(args.level)))) if args.level else configuration.levels
    description = load_description(folders.preprocessed / "dataset.json")
    fold = load_fold(args, folders, plan)
    model = folders.model(args.plans_name, args.configuration)
    fold_folder = model / f"fold_{args.fold}"
    _begin(args, fold_folder)
    check_output_folder(model)
    if not args.val:
        _refuse_brought(fold_folder)
    with locked(model, wait=True):  # all folds may be started at once
        write_model_files(model, folders, plan)
    setup = make_setup(args, folders, configuration, fold, stop)
    LOGGER.info("%s, fold %s: %d training, %s; %s", folders.name, args.fold, len(fold.train),
                counted(len(fold.val), "validation case"), setup.runtime.because)  # fmt: skip
    with locked(fold_folder):
        if not args.val:
            planning = plan.planning_anew(args.dataset)
            with memory_explained(configuration, planning):
                _train(args, setup, levels, fold_folder, planning)
        if args.stage != "diffusion":
            _validate(args, setup, levels, folders, description, fold_folder)


def _begin(args: argparse.Namespace, fold_folder: Path) -> None:
    """Move the old fold aside, or make sure that there is one, where asked for."""
    from dd_nnunet.networks.checkpoint import checkpoint_exists
    from dd_nnunet.storage.run_folder import is_finished, move_aside

    if args.fresh and (args.val or args.resume == "must"):
        other = "--val" if args.val else "--resume must"
        raise UserError(f"--fresh and {other}", "exclude each other", "give one of them")
    begun = (
        is_finished(run) or checkpoint_exists(run / "checkpoint_latest.pth") for run in fold_folder.glob("*/")
    )
    if args.resume == "must" and not any(begun):
        raise UserError(fold_folder, "holds nothing to resume", "leave out --resume must to start training")
    if args.fresh and (moved := move_aside(fold_folder)):
        LOGGER.info("moved the old fold to %s", moved)


def _refuse_brought(fold_folder: Path) -> None:
    """Never train over a model that came from elsewhere."""
    from dd_nnunet.storage.run_folder import was_brought

    if brought := [run.name for run in sorted(fold_folder.glob("*/")) if was_brought(run)]:
        reason = f"holds a model that was not trained here ({', '.join(brought)}; installed from a zip, say)"
        remedy = "--fresh moves it aside and starts anew, or choose another folder with --results"
        raise UserError(fold_folder, reason, remedy)


def _train(
    args: argparse.Namespace,
    setup: "TrainingSetup",
    levels: "Sequence[LevelPlan]",
    fold_folder: Path,
    planning: str,
) -> None:
    from dd_nnunet.commands.train_setup import tell_before
    from dd_nnunet.storage.run_folder import is_finished
    from dd_nnunet.training.feature_cache import FeatureCache
    from dd_nnunet.training.pretrain_diffusion import load_diffusion

    checkpoint = fold_folder / "diffusion" / "checkpoint_final.pth"
    tell_before(args, setup, levels, fold_folder, planning)
    if args.stage == "segmenter" and not args.pretrained_diffusion and not is_finished(checkpoint.parent):
        remedy = "run it with --stage diffusion, or give -pretrained_diffusion FILE"
        raise UserError(checkpoint, "the diffusion model is not trained yet", remedy)
    if args.stage != "segmenter" or args.pretrained_diffusion:
        _train_diffusion(args, setup, checkpoint)
    if args.stage == "diffusion":
        return
    groups = setup.configuration.groups_of(levels)
    unfinished = [group for group in groups if not is_finished(fold_folder / group.folder)]
    stages = [stage for group in unfinished for level in group.levels for stage in level.stages]
    cache = FeatureCache(fold_folder / "features", setup, stages)
    if unfinished:
        network = load_diffusion(setup.configuration, setup.n_channels, checkpoint, setup.runtime)
        cache.build(checkpoint, network)
    for group in groups:
        _train_group(args, setup, group, cache, fold_folder)


def _train_diffusion(args: argparse.Namespace, setup: "TrainingSetup", checkpoint: Path) -> None:
    from dd_nnunet.networks.checkpoint import load_checkpoint, save_checkpoint
    from dd_nnunet.storage.atomic import sha256_of
    from dd_nnunet.storage.run_folder import open_run_folder
    from dd_nnunet.training.pretrain_diffusion import load_diffusion, pretrain_diffusion

    identity = _identity(setup, "diffusion", setup.configuration.diffusion)
    if args.pretrained_diffusion:
        identity["pretrained_sha256"] = sha256_of(_existing(Path(args.pretrained_diffusion)))
    with open_run_folder(checkpoint.parent, identity, args.strict_env) as run:
        if run.finished:
            LOGGER.info("diffusion: finished already (--fresh trains anew)")
            return
        run.logger.info("diffusion pretraining: %s", setup.runtime.because)
        if args.pretrained_diffusion:
            given = Path(args.pretrained_diffusion)
            load_diffusion(setup.configuration, setup.n_channels, given, setup.runtime)
            save_checkpoint(checkpoint, load_checkpoint(given))
            run.mark_finished({"device": setup.runtime.because, "pretrained": str(args.pretrained_diffusion)})
            return
        pretrain_diffusion(setup, run)
        run.mark_finished({"device": setup.runtime.because, "seconds": _seconds(run.read_log())})


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UserError(path, "does not exist", "give a checkpoint_final.pth of a diffusion model")
    return path


def _train_group(
    args: argparse.Namespace, setup: "TrainingSetup", group: "LevelGroup", cache: Any, fold_folder: Path
) -> None:
    from dd_nnunet.storage.run_folder import open_run_folder
    from dd_nnunet.training.train_segmenter import train_segmenter

    levels = group if group.nested else group.levels[0]
    planned = (levels, setup.configuration.segmenter, setup.configuration.features)
    identity = _identity(setup, group.name, planned)
    with open_run_folder(fold_folder / group.folder, identity, args.strict_env) as run:
        if run.finished:
            LOGGER.info("%s: finished already (--fresh trains anew)", group.name)
            return
        parts = " ".join(str(level.n_parts) for level in group.levels)
        stages = " ".join(str(level.stages) for level in group.levels)
        run.logger.info("%s, %s parts, stages %s: %s", group.name, parts, stages, setup.runtime.because)
        results = [
            {
                "epoch": result.epoch,
                "alive_parts": result.statistics.alive_parts,
                "collapsed": result.collapsed,
                "part_shares": result.statistics.shares,
                "mean_max_probability": result.statistics.mean_max_probability,
                "criteria": result.statistics.criteria and asdict(result.statistics.criteria),
            }
            for result in train_segmenter(setup, group, cache, run)
        ]
        by_level = {str(level.level): found for level, found in zip(group.levels, results, strict=True)}
        came_to = {"levels": by_level} if group.nested else results[0]
        summary = {"device": setup.runtime.because, "seconds": _seconds(run.read_log())}
        run.mark_finished(summary | came_to)


def _identity(setup: "TrainingSetup", what: str, planned: object) -> dict[str, object]:
    from dd_nnunet.core.json_record import record_to_json
    from dd_nnunet.storage.case_store import sha256_of_record

    # without defaults, so that a run goes on where plans have learnt to say more since
    chosen = record_to_json(planned, without_defaults=True)
    return {
        "what": what,
        "seed": setup.seed,
        "plan_sha256": sha256_of_record((chosen, setup.configuration.patch_size_zyx)),
        "training_cases_sha256": sha256_of_record(setup.fold.train),
        "training_data_sha256": setup.data_sha256,
        "n_training_cases": len(setup.fold.train),
    }


def _seconds(log: list[dict[str, Any]]) -> float:
    return round(sum(float(entry["seconds"]) for entry in log), 1)


def _validate(
    args: argparse.Namespace,
    setup: "TrainingSetup",
    levels: "Sequence[LevelPlan]",
    folders: "DatasetFolders",
    description: "DatasetDescription",
    fold_folder: Path,
) -> None:
    """Predict the validation cases that are not predicted yet, then score them all."""
    from dd_nnunet.commands.validation import evaluate_validation, predict_validation
    from dd_nnunet.evaluation.table import score_table

    for group in setup.configuration.groups_of(levels):
        predict_validation(setup, group, fold_folder, description.file_ending)
    rows = evaluate_validation("dd_nnunet", folders, description, levels, fold_folder, setup.fold.val)
    if rows:
        print(score_table(rows))
