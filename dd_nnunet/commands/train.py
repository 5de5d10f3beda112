"""dd_train: diffusion pretraining, then a segmenter per level, then validation."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dd_nnunet.commands import cli
from dd_nnunet.core.errors import UserError

if TYPE_CHECKING:
    from dd_nnunet.core.dataset import DatasetDescription
    from dd_nnunet.core.plan import ConfigurationPlan, LevelPlan, Plan
    from dd_nnunet.core.splits import Fold
    from dd_nnunet.storage.workspace import DatasetFolders
    from dd_nnunet.training.pretrain_diffusion import TrainingSetup

LOGGER = logging.getLogger(__name__)
STAGES = ("all", "diffusion", "segmenter")
LARGEST_WORKERS = 8


def build_parser() -> cli.StrictParser:
    """The flags of dd_train."""
    parser = cli.make_parser(
        "dd_train",
        "Train one fold: the diffusion model, then a segmenter per level, then predict and score the fold's "
        "validation cases. The same command resumes; a finished fold says so.",
    )
    parser.add_argument("dataset", metavar="DATASET", help="number or name of the dataset")
    parser.add_argument("configuration", metavar="CONFIG", help="e.g. 3d_fullres")
    parser.add_argument("fold", metavar="FOLD", help="0, 1, 2, 3, 4 or all")
    parser.add_argument("-p", "--plans_name", default="ddPlans", metavar="NAME", help="name of the plan")
    parser.add_argument(
        "-l", "--level", type=int, nargs="+", metavar="N", help="levels; default: all of the plan"
    )
    parser.add_argument("--stage", choices=STAGES, default="all", help="train only this")
    parser.add_argument(
        "-pretrained_diffusion", metavar="FILE", help="checkpoint_final.pth of a diffusion model to use"
    )
    cli.add_device_flag(parser)
    parser.add_argument("--seed", type=int, default=0, help="decides weights, batches and noise")
    parser.add_argument(
        "--deterministic", action="store_true", help="repeatable algorithms on CUDA too (slower)"
    )
    parser.add_argument("--val", action="store_true", help="only predict and score the validation cases")
    parser.add_argument("--fresh", action="store_true", help="move an existing fold aside and start anew")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of dd_train."""
    return cli.run(build_parser(), _run, argv)


def _run(args: argparse.Namespace) -> None:
    from dd_nnunet.core.plan import Plan
    from dd_nnunet.storage.atomic import check_output_folder, read_record
    from dd_nnunet.storage.raw_dataset import load_description
    from dd_nnunet.storage.run_folder import move_aside

    if args.fresh and args.val:
        raise UserError("--fresh and --val", "exclude each other", "give one of them")
    folders = cli.workspace(args).dataset(args.dataset)
    plan = read_record(Plan, cli.existing_plan(folders, args.plans_name, args.dataset))
    configuration = plan.configuration(args.configuration)
    levels = tuple(map(configuration.level, sorted(set(args.level)))) if args.level else configuration.levels
    description = load_description(folders.preprocessed / "dataset.json")
    fold = _fold(args, folders)
    model = folders.model(args.plans_name, args.configuration)
    check_output_folder(model)
    fold_folder = model / f"fold_{args.fold}"
    if args.fresh and (moved := move_aside(fold_folder)):
        LOGGER.info("moved the old fold to %s", moved)
    _write_model_files(model, folders, plan)
    setup = _setup(args, folders, configuration, fold)
    LOGGER.info("%s, fold %s: %d training, %d validation cases; %s", folders.name, args.fold, len(fold.train),
                len(fold.val), setup.runtime.because)  # fmt: skip
    if not args.val:
        _train(args, setup, levels, fold_folder)
    if args.stage != "diffusion":
        _validate(args, setup, levels, folders, description, fold_folder)


def _required(path: Path, args: argparse.Namespace) -> Path:
    if not path.is_file():
        raise UserError(path, "does not exist", f"run: dd_plan_and_preprocess -d {args.dataset}")
    return path


def _fold(args: argparse.Namespace, folders: "DatasetFolders") -> "Fold":
    """The fold's cases, checked against what is prepared; constant cases do not train."""
    from dd_nnunet.core.fingerprint import DatasetFingerprint
    from dd_nnunet.core.splits import Fold, select_fold
    from dd_nnunet.storage.atomic import read_record
    from dd_nnunet.storage.case_store import Manifest
    from dd_nnunet.storage.splits import read_splits

    prepared = folders.prepared(args.plans_name, args.configuration)
    case_ids = sorted(Manifest.load(prepared).cases)
    if not case_ids:
        raise UserError(prepared, "holds no prepared cases", f"run: dd_plan_and_preprocess -d {args.dataset}")
    splits_json = _required(folders.splits_json, args)
    fold = select_fold(read_splits(splits_json), args.fold, case_ids, splits_json)
    missing = sorted({*fold.train, *fold.val} - set(case_ids))
    if missing:
        remedy = f"run dd_plan_and_preprocess -d {args.dataset} again, or correct the splits"
        raise UserError(
            splits_json, f"fold {args.fold} names cases that are not prepared: {', '.join(missing)}", remedy
        )
    fingerprint = read_record(DatasetFingerprint, _required(folders.fingerprint_json, args))
    constant = {case.case_id for case in fingerprint.cases if case.constant}
    train = tuple(case_id for case_id in fold.train if case_id not in constant)
    if not train:
        raise UserError(splits_json, f"fold {args.fold} has no training case with contents", "add volumes")
    return Fold(train, fold.val)


def _write_model_files(model: Path, folders: "DatasetFolders", plan: "Plan") -> None:
    """plans.json, dataset.json and dataset_fingerprint.json beside the folds; all folds share one plan."""
    from dd_nnunet.core.plan import Plan
    from dd_nnunet.storage.atomic import read_json, read_record, write_json

    plans_json = model / "plans.json"
    if plans_json.is_file():
        old = read_record(Plan, plans_json)
        # the reasons may be worded anew, or name another machine
        if (old.configurations, old.channel_names) != (plan.configurations, plan.channel_names):
            reason = "differs from the dataset's plan: these folds were trained with another one"
            raise UserError(
                plans_json, reason, f"rename {model.name}, or plan with -overwrite_plans_name NAME"
            )
        return
    write_json(model / "dataset.json", read_json(folders.preprocessed / "dataset.json"))
    write_json(model / "dataset_fingerprint.json", read_json(folders.fingerprint_json))
    write_json(plans_json, plan)


def _setup(
    args: argparse.Namespace, folders: "DatasetFolders", configuration: "ConfigurationPlan", fold: "Fold"
) -> "TrainingSetup":
    import torch

    from dd_nnunet.networks.device import choose_runtime
    from dd_nnunet.storage.hardware import cpu_count
    from dd_nnunet.storage.workspace import make_cuda_repeatable
    from dd_nnunet.training.case_reader import CaseReader
    from dd_nnunet.training.pretrain_diffusion import TrainingSetup

    runtime = choose_runtime(args.device, configuration.precision)
    if args.deterministic:
        make_cuda_repeatable()
        torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = not args.deterministic
    return TrainingSetup(
        configuration=configuration,
        fold=fold,
        reader=CaseReader(folders.prepared(args.plans_name, args.configuration), configuration),
        runtime=runtime,
        seed=args.seed,
        # on the CPU the network itself needs every core, and augmentation takes a percent of a step
        n_workers=0 if runtime.device.type == "cpu" else min(cpu_count() - 1, LARGEST_WORKERS),
        progress_bar=not (args.no_pbar or args.quiet),
        data_sha256=_data_sha256(folders.prepared(args.plans_name, args.configuration), fold),
    )


def _data_sha256(prepared: Path, fold: "Fold") -> str:
    """Changes when a prepared training case changes."""
    from dd_nnunet.storage.case_store import Manifest, sha256_of_record

    cases = Manifest.load(prepared).cases
    return sha256_of_record([cases[case_id].array_sha256 for case_id in fold.train])


def _train(
    args: argparse.Namespace, setup: "TrainingSetup", levels: "Sequence[LevelPlan]", fold_folder: Path
) -> None:
    from dd_nnunet.storage.run_folder import is_finished
    from dd_nnunet.training.feature_cache import FeatureCache
    from dd_nnunet.training.pretrain_diffusion import load_diffusion

    checkpoint = fold_folder / "diffusion" / "checkpoint_final.pth"
    if args.stage == "segmenter" and not args.pretrained_diffusion and not is_finished(checkpoint.parent):
        remedy = "run it with --stage diffusion, or give -pretrained_diffusion FILE"
        raise UserError(checkpoint, "the diffusion model is not trained yet", remedy)
    if args.stage != "segmenter" or args.pretrained_diffusion:
        _train_diffusion(args, setup, checkpoint)
    if args.stage == "diffusion":
        return
    unfinished = [level for level in levels if not is_finished(fold_folder / f"level{level.level}")]
    cache = FeatureCache(fold_folder / "features", setup, [s for level in unfinished for s in level.stages])
    if unfinished:
        network = load_diffusion(setup.configuration, setup.n_channels, checkpoint, setup.runtime)
        cache.build(checkpoint, network)
    for level in levels:
        _train_level(setup, level, cache, fold_folder)


def _train_diffusion(args: argparse.Namespace, setup: "TrainingSetup", checkpoint: Path) -> None:
    from dd_nnunet.networks.checkpoint import load_checkpoint, save_checkpoint
    from dd_nnunet.storage.atomic import sha256_of
    from dd_nnunet.storage.run_folder import open_run_folder
    from dd_nnunet.training.pretrain_diffusion import load_diffusion, pretrain_diffusion

    identity = _identity(setup, "diffusion", setup.configuration.diffusion)
    if args.pretrained_diffusion:
        identity["pretrained_sha256"] = sha256_of(_existing(Path(args.pretrained_diffusion)))
    with open_run_folder(checkpoint.parent, identity) as run:
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


def _train_level(setup: "TrainingSetup", level: "LevelPlan", cache: Any, fold_folder: Path) -> None:
    from dd_nnunet.storage.run_folder import open_run_folder
    from dd_nnunet.training.train_segmenter import train_segmenter

    planned = (level, setup.configuration.segmenter, setup.configuration.features)
    folder = fold_folder / f"level{level.level}"
    with open_run_folder(folder, _identity(setup, f"level {level.level}", planned)) as run:
        if run.finished:
            LOGGER.info("level %d: finished already (--fresh trains anew)", level.level)
            return
        run.logger.info(
            "level %d, %d parts, stages %s: %s",
            level.level,
            level.n_parts,
            level.stages,
            setup.runtime.because,
        )
        result = train_segmenter(setup, level, cache, run)
        run.mark_finished(
            {
                "device": setup.runtime.because,
                "seconds": _seconds(run.read_log()),
                "epoch": result.epoch,
                "alive_parts": result.statistics.alive_parts,
                "collapsed": result.collapsed,
                "part_shares": result.statistics.shares,
            }
        )


def _identity(setup: "TrainingSetup", what: str, planned: object) -> dict[str, object]:
    from dd_nnunet.storage.case_store import sha256_of_record

    return {
        "what": what,
        "seed": setup.seed,
        "plan_sha256": sha256_of_record((planned, setup.configuration.patch_size_zyx)),
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

    for level in levels:
        predict_validation(setup, level, fold_folder, description.file_ending)
    name = f"dd_nnunet, fold {args.fold}"
    rows = evaluate_validation(name, folders, description, levels, fold_folder, setup.fold.val)
    if rows:
        print(score_table(rows))
