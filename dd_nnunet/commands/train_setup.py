"""What dd_train works with: the fold's cases, the plan beside the folds, device and seed; and what it tells first."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dd_nnunet.commands import planning_flags as flags
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.plan_names import plans_flag

if TYPE_CHECKING:
    from dd_nnunet.core.plan import ConfigurationPlan, LevelGroup, LevelPlan, Plan
    from dd_nnunet.core.splits import Fold
    from dd_nnunet.storage.workspace import DatasetFolders
    from dd_nnunet.training.setup import TrainingSetup
    from dd_nnunet.training.stopping import StopRequest

LOGGER = logging.getLogger(__name__)
LARGEST_WORKERS = 8
SHOWN_CHANGES = 5


def load_fold(args: argparse.Namespace, folders: "DatasetFolders", plan: "Plan") -> "Fold":
    """The fold's cases, checked against what is prepared; constant cases do not train.

    Args:
        args: of dd_train.
        folders: of the dataset.
        plan: that is trained.

    Raises:
        UserError: nothing is prepared; the splits name other cases; all training cases are constant.
    """
    from dd_nnunet.core.fingerprint import DatasetFingerprint
    from dd_nnunet.core.splits import Fold, select_fold
    from dd_nnunet.storage.atomic import read_record
    from dd_nnunet.storage.case_store import Manifest
    from dd_nnunet.storage.splits import read_splits

    prepared = folders.prepared(args.plans_name, args.configuration)
    case_ids = sorted(Manifest.load(prepared).cases)
    if not case_ids:
        command = flags.preparing(args.dataset, args.configuration, args.plans_name)
        raise UserError(prepared, "holds no prepared cases", f"run: {command}")
    plan_anew = plan.planning_anew(args.dataset) + plans_flag(args.plans_name, "-overwrite_plans_name")
    for path in (folders.splits_json, folders.fingerprint_json):
        if not path.is_file():
            raise UserError(path, "does not exist", f"run: {plan_anew}")
    splits_json = folders.splits_json
    fold = select_fold(read_splits(splits_json), args.fold, case_ids, splits_json)
    missing = sorted({*fold.train, *fold.val} - set(case_ids))
    if missing:
        remedy = f"run: {plan_anew}, or correct the splits"
        raise UserError(
            splits_json, f"fold {args.fold} names cases that are not prepared: {', '.join(missing)}", remedy
        )
    fingerprint = read_record(DatasetFingerprint, folders.fingerprint_json)
    constant = {case.case_id for case in fingerprint.cases if case.constant}
    train = tuple(case_id for case_id in fold.train if case_id not in constant)
    if not train:
        raise UserError(splits_json, f"fold {args.fold} has no training case with contents", "add volumes")
    return Fold(train, fold.val)


def write_model_files(model: Path, folders: "DatasetFolders", plan: "Plan") -> None:
    """Write plans.json, dataset.json and dataset_fingerprint.json beside the folds; all folds share one plan.

    Raises:
        UserError: the folds that are there were trained with another plan; says what differs.
    """
    from dd_nnunet.storage.atomic import read_json, write_json

    plans_json = model / "plans.json"
    if plans_json.is_file():
        refuse_other_plan(plans_json, plan)
        return
    write_json(model / "dataset.json", read_json(folders.preprocessed / "dataset.json"))
    write_json(model / "dataset_fingerprint.json", read_json(folders.fingerprint_json))
    write_json(plans_json, plan)


def refuse_other_plan(plans_json: Path, plan: "Plan") -> None:
    """Compare a plan with that of the folds that are there; plans_json lies beside them.

    Raises:
        UserError: these were trained with another; says what differs.
    """
    from dd_nnunet.core.json_difference import differences
    from dd_nnunet.core.json_record import record_to_json
    from dd_nnunet.core.plan import Plan
    from dd_nnunet.storage.atomic import read_record

    # the reasons may be worded anew, or name another machine
    old, new = (
        record_to_json({"configurations": p.configurations, "channel_names": p.channel_names})
        for p in (read_record(Plan, plans_json), plan)
    )
    changes = [f"{key} was {a}, now {b}" for key, a, b in differences(old, new)]
    if changes:
        more = f"; and {len(changes) - SHOWN_CHANGES} more" if len(changes) > SHOWN_CHANGES else ""
        reason = f"these folds were trained with another plan: {'; '.join(changes[:SHOWN_CHANGES])}{more}"
        remedy = f"rename {plans_json.parent.name}, or plan with -overwrite_plans_name NAME"
        raise UserError(plans_json, reason, remedy)


def make_setup(
    args: argparse.Namespace,
    folders: "DatasetFolders",
    configuration: "ConfigurationPlan",
    fold: "Fold",
    stop: "StopRequest",
) -> "TrainingSetup":
    """Device, seed, workers and cases of this run.

    Raises:
        UserError: the device is not there.
    """
    import torch

    from dd_nnunet.networks.device import choose_runtime
    from dd_nnunet.preprocessing.parallel import startable
    from dd_nnunet.storage.hardware import cpu_count
    from dd_nnunet.storage.workspace import make_cuda_repeatable
    from dd_nnunet.training.case_reader import CaseReader
    from dd_nnunet.training.setup import TrainingSetup

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
        n_workers=0 if runtime.device.type == "cpu" else startable(min(cpu_count() - 1, LARGEST_WORKERS)),
        progress_bar=not (args.no_pbar or args.quiet),
        data_sha256=_data_sha256(folders.prepared(args.plans_name, args.configuration), fold),
        stop=stop,
    )


def tell_before(
    args: argparse.Namespace,
    setup: "TrainingSetup",
    levels: "Sequence[LevelPlan]",
    fold_folder: Path,
    planning: str,
) -> None:
    """Before something is trained, tell whether memory is scarce, and on a CPU the expected minutes.

    Args:
        args: of dd_train.
        setup: of this run.
        levels: that are asked for.
        fold_folder: where they are trained.
        planning: the command that plans this dataset anew.
    """
    from dd_nnunet.training.memory_error import warn_of_memory
    from dd_nnunet.training.probe import expect_time

    groups, diffusion = _what_is_left(args, setup, levels, fold_folder)
    if groups or diffusion:
        warn_of_memory(setup.configuration, setup.runtime, planning)
    if setup.runtime.device.type != "cpu" or args.quiet:
        return
    expected = expect_time(setup, groups, diffusion)
    if expected is not None:
        LOGGER.info("%s", expected.line())


def _what_is_left(
    args: argparse.Namespace, setup: "TrainingSetup", levels: "Sequence[LevelPlan]", fold_folder: Path
) -> "tuple[list[LevelGroup], bool]":
    """What of a fold this run is to train and is not finished: groups of levels, and whether the diffusion model."""
    from dd_nnunet.storage.run_folder import is_finished

    groups = setup.configuration.groups_of(levels)
    left = [group for group in groups if not is_finished(fold_folder / group.folder)]
    diffusion = args.stage != "segmenter" and not args.pretrained_diffusion
    return (
        [] if args.stage == "diffusion" else left,
        diffusion and not is_finished(fold_folder / "diffusion"),
    )


def _data_sha256(prepared: Path, fold: "Fold") -> str:
    """Changes when a prepared training case changes."""
    from dd_nnunet.storage.case_store import Manifest, sha256_of_record

    cases = Manifest.load(prepared).cases
    return sha256_of_record([cases[case_id].array_sha256 for case_id in fold.train])
