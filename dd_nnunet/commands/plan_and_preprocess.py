"""dd_plan_and_preprocess and its steps: verify, fingerprint, plan, preprocess."""

import argparse
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dd_nnunet.commands import cli
from dd_nnunet.commands import planning_flags as flags
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.plan_names import DEFAULT_PLANS, DEFAULT_PRESET, plans_flag
from dd_nnunet.core.units import counted

if TYPE_CHECKING:
    from dd_nnunet.core.fingerprint import DatasetFingerprint
    from dd_nnunet.core.plan import Plan, ReadingPlan
    from dd_nnunet.core.plan_names import PresetName
    from dd_nnunet.planning.presets import Budget
    from dd_nnunet.storage.workspace import DatasetFolders

LOGGER = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of dd_plan_and_preprocess."""
    parser = flags.make_parser(
        "dd_plan_and_preprocess",
        "Verify a dataset, measure it, plan everything from that, and prepare its cases.",
    )
    flags.add_reading(parser)
    flags.add_trust(parser)
    flags.add_planning(parser)
    flags.add_preparing(parser)
    flags.add_clean(parser, "remove what was measured and prepared before, do all anew")
    parser.add_argument("--no_pp", action="store_true", help="stop after the plan, prepare nothing")
    return cli.run(parser, _run_all, argv)


def main_fingerprint(argv: Sequence[str] | None = None) -> int:
    """Entry point of dd_extract_fingerprint."""
    parser = flags.make_parser(
        "dd_extract_fingerprint", "Verify and measure a dataset: dataset_fingerprint.json."
    )
    flags.add_reading(parser)
    flags.add_trust(parser)
    flags.add_clean(parser, "remove what was measured before, measure all anew")
    return cli.run(parser, _run_fingerprint, argv)


def main_plan(argv: Sequence[str] | None = None) -> int:
    """Entry point of dd_plan_experiment."""
    parser = flags.make_parser("dd_plan_experiment", "Plan a dataset from its fingerprint: ddPlans.json.")
    flags.add_planning(parser)
    return cli.run(parser, _run_plan, argv)


def main_preprocess(argv: Sequence[str] | None = None) -> int:
    """Entry point of dd_preprocess."""
    parser = flags.make_parser("dd_preprocess", "Prepare the cases of a dataset as its plan says.")
    flags.add_processes(parser)
    flags.add_preparing(parser)
    flags.add_clean(parser, "remove what was prepared before, prepare all anew")
    parser.add_argument(
        "-plans_name", type=flags.plans_name, default=DEFAULT_PLANS, metavar="NAME", help="name of the plan"
    )
    return cli.run(parser, _run_preprocess, argv)


def _run_all(args: argparse.Namespace) -> None:
    budget = _budget(args)
    for folders in _datasets(args):
        flags.heading(folders.name)
        fingerprint = _fingerprint(args, folders)
        plan = _plan(folders, fingerprint, budget)
        if args.no_pp:
            _say_how_to_prepare(plan)
        else:
            _preprocess(args, folders, fingerprint, plan)
            _say_how_to_train(args, plan)


def _run_fingerprint(args: argparse.Namespace) -> None:
    for folders in _datasets(args):
        flags.heading(folders.name)
        _fingerprint(args, folders)


def _run_plan(args: argparse.Namespace) -> None:
    budget = _budget(args)
    for folders in _datasets(args):
        flags.heading(folders.name)
        _say_how_to_prepare(_plan(folders, _taken_as_it_is(folders), budget))


def _run_preprocess(args: argparse.Namespace) -> None:
    for folders in _datasets(args):
        flags.heading(folders.name)
        plan = cli.read_plan(folders, args.plans_name, folders.name, "-plans_name")
        _preprocess(args, folders, _stored_fingerprint(folders), plan)
        _say_how_to_train(args, plan)


def _datasets(args: argparse.Namespace) -> "Iterator[DatasetFolders]":
    """All datasets asked for, each locked while it is worked on.

    One that is unknown or whose folder cannot be written ends the command before any work.
    """
    from dd_nnunet.storage.atomic import check_output_folder
    from dd_nnunet.storage.folder_lock import locked

    found = flags.datasets(args)
    for folders in found:
        check_output_folder(folders.preprocessed)
    for folders in found:
        with locked(folders.preprocessed, args.wait):
            yield folders


def _fingerprint(args: argparse.Namespace, folders: "DatasetFolders") -> "DatasetFingerprint":
    from dd_nnunet.commands.verify import verify_dataset
    from dd_nnunet.storage.atomic import write_bytes, write_json
    from dd_nnunet.storage.measured_cases import remove_measured
    from dd_nnunet.storage.raw_dataset import load_description

    if args.no_verify and _is_fingerprinted(folders, flags.reading(args)):
        LOGGER.info("fingerprint: taken as it is, the volumes were not verified again")
        return _taken_as_it_is(folders)
    if args.clean:
        remove_measured(folders.measured_cases)
    fingerprint = verify_dataset(args, folders, keep=True)
    write_bytes(folders.preprocessed / "dataset.json", folders.dataset_json.read_bytes())
    write_json(folders.fingerprint_json, fingerprint)
    channels = ", ".join(load_description(folders).channel_names)
    n_cases = counted(len(fingerprint.cases), "case", ("is", "are"))
    LOGGER.info("verify: %s sound; channels: %s", n_cases, channels)
    LOGGER.info("fingerprint: %s", folders.fingerprint_json)
    return fingerprint


def _budget(args: argparse.Namespace) -> "Budget":
    """What is asked for, checked before any work."""
    from dd_nnunet.planning.presets import Budget
    from dd_nnunet.storage.hardware import find_accelerator

    accelerator = find_accelerator()
    return Budget(
        gpu_memory_target_gb=args.gpu_memory_target,
        preset=_preset(args),
        parts=tuple(args.parts) if args.parts else None,
        target_spacing_zyx_mm=tuple(args.overwrite_target_spacing) if args.overwrite_target_spacing else None,
        fast_bf16=accelerator.fast_bf16,
        plans_name=args.overwrite_plans_name,
        hardware=accelerator.name,
        stages=tuple(args.stages) if args.stages else None,
        as_released=tuple(dict.fromkeys(args.as_released)),
    )


def _plan(folders: "DatasetFolders", fingerprint: "DatasetFingerprint", budget: "Budget") -> "Plan":
    from dd_nnunet.core.fingerprint import SCHEMA_VERSION
    from dd_nnunet.planning.paper_departures import NOT_AS_IN_THE_PAPER
    from dd_nnunet.planning.plan_dataset import plan_dataset
    from dd_nnunet.planning.reasons import format_decisions
    from dd_nnunet.storage.atomic import write_json
    from dd_nnunet.storage.raw_dataset import load_description

    if fingerprint.schema_version != SCHEMA_VERSION:
        raise UserError(
            folders.fingerprint_json,
            f"is of version {fingerprint.schema_version}; plans are made from version {SCHEMA_VERSION}",
            f"run dd_extract_fingerprint -d {folders.name}",
        )
    plan = plan_dataset(folders.name, fingerprint, load_description(folders), budget)
    _write_splits(folders, [case.case_id for case in fingerprint.cases if not case.constant])
    write_json(folders.plans_json(plan.plans_name), plan)
    LOGGER.info("plan: %s\n", folders.plans_json(plan.plans_name))
    LOGGER.info("%s\n", format_decisions(plan.decisions))
    for decision in plan.decisions:
        if decision.name == NOT_AS_IN_THE_PAPER:
            LOGGER.warning("warning: %s: %s, because %s", decision.name, decision.value, decision.because)
    return plan


def _preprocess(
    args: argparse.Namespace, folders: "DatasetFolders", fingerprint: "DatasetFingerprint", plan: "Plan"
) -> None:
    from dd_nnunet.preprocessing.case_memory import largest_to_preprocess
    from dd_nnunet.preprocessing.dataset import preprocess_dataset
    from dd_nnunet.storage.raw_dataset import load_description, survey_cases

    names = _chosen(args, plan)
    # what is left out was told when the volumes were verified
    cases = survey_cases(folders.images_tr, load_description(folders)).sound_cases()
    useful = {case.case_id: case for case in fingerprint.cases if not case.constant}
    if {case.case_id for case in cases} != {case.case_id for case in fingerprint.cases}:
        raise UserError(
            folders.images_tr,
            "holds other cases than the fingerprint",
            f"run: {plan.planning_anew(folders.name)}{plans_flag(plan.plans_name, '-overwrite_plans_name')}",
        )
    for name in names:
        configuration = plan.configuration(name)
        folder = folders.prepared(plan.plans_name, name)
        workers = flags.workers(args, largest_to_preprocess(list(useful.values()), configuration))
        chosen = [case for case in cases if case.case_id in useful]
        prepared = preprocess_dataset(chosen, configuration, folder, workers, args.clean)
        kept = (
            f", {prepared.n_kept} {'was' if prepared.n_kept == 1 else 'were'} prepared already"
            if prepared.n_kept
            else ""
        )
        LOGGER.info("preprocess: %s prepared%s: %s", counted(prepared.n_new, "case"), kept, folder)


def _chosen(args: argparse.Namespace, plan: "Plan") -> tuple[str, ...]:
    """The configurations to prepare.

    Raises:
        UserError: one is not planned; names those that are, and how to prepare one of them.
    """
    planned = tuple(plan.configurations)
    for name in args.c or ():
        if name not in planned:
            command = flags.preparing(plan.dataset_name, planned[0], plan.plans_name)
            remedy = f"planned: {', '.join(planned)}; run: {command}"
            raise UserError(f"configuration {name!r}", "is not in the plan", remedy)
    return tuple(args.c or planned)


def _say_how_to_prepare(plan: "Plan") -> None:
    chosen = plans_flag(plan.plans_name, "-plans_name")
    LOGGER.info("prepare the cases with: dd_preprocess -d %s%s", plan.dataset_name, chosen)


def _say_how_to_train(args: argparse.Namespace, plan: "Plan") -> None:
    for name in _chosen(args, plan):
        LOGGER.info(
            "train a fold with: dd_train %s %s 0%s", plan.dataset_name, name, plans_flag(plan.plans_name)
        )


def _write_splits(folders: "DatasetFolders", case_ids: list[str]) -> None:
    from dd_nnunet.core.splits import N_FOLDS, make_folds
    from dd_nnunet.storage.atomic import write_json
    from dd_nnunet.storage.splits import read_given_splits, read_splits

    if folders.splits_json.exists():
        named = {case_id for fold in read_splits(folders.splits_json) for case_id in (*fold.train, *fold.val)}
        if named == set(case_ids):
            return
        LOGGER.warning("warning: %s names other cases and is written anew", folders.splits_json)
    given = read_given_splits(folders.raw, case_ids)
    folds = given or make_folds(case_ids)
    write_json(folders.splits_json, folds)
    if given:
        LOGGER.info("folds: %d, as the raw dataset gives them", len(folds))
    elif len(folds) < N_FOLDS:
        cases = counted(len(case_ids), "case", ("gives", "give"))
        names = f"folds 0-{len(folds) - 1} and all" if folds else "fold all only"
        LOGGER.warning("warning: %s %s", cases, names)


def _taken_as_it_is(folders: "DatasetFolders") -> "DatasetFingerprint":
    """The stored fingerprint; what was odd when the cases were read is told again."""
    from dd_nnunet.commands.verify import tell_warnings

    fingerprint = _stored_fingerprint(folders)
    tell_warnings(fingerprint.warnings)
    return fingerprint


def _stored_fingerprint(folders: "DatasetFolders") -> "DatasetFingerprint":
    from dd_nnunet.core.fingerprint import DatasetFingerprint
    from dd_nnunet.storage.atomic import read_record

    if not folders.fingerprint_json.exists():
        raise UserError(
            folders.fingerprint_json, "does not exist", f"run dd_extract_fingerprint -d {folders.name}"
        )
    return read_record(DatasetFingerprint, folders.fingerprint_json)


def _is_fingerprinted(folders: "DatasetFolders", reading: "ReadingPlan") -> bool:
    """Whether the stored fingerprint is of these very cases, read in this way, and has all that plans need."""
    from dd_nnunet.core.fingerprint import SCHEMA_VERSION
    from dd_nnunet.storage.raw_dataset import load_description, survey_cases

    if not folders.fingerprint_json.exists():
        return False
    stored = _stored_fingerprint(folders)
    cases = survey_cases(folders.images_tr, load_description(folders)).sound_cases()
    same_cases = [case.case_id for case in cases] == [case.case_id for case in stored.cases]
    return same_cases and stored.reading == reading and stored.schema_version == SCHEMA_VERSION


def _preset(args: argparse.Namespace) -> "PresetName":
    if args.pl == "paper":
        if args.preset not in (None, "paper"):
            raise UserError("-pl paper", f"contradicts --preset {args.preset}", "give one of them")
        return "paper"
    preset: PresetName = args.preset or DEFAULT_PRESET
    return preset
