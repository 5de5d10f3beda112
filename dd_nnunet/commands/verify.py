"""dd_verify_dataset: read and check every case, and write nothing; the other steps begin with the same."""

import argparse
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dd_nnunet.commands import cli
from dd_nnunet.commands import planning_flags as flags
from dd_nnunet.core.errors import DDError, UserError, joined
from dd_nnunet.core.units import counted

if TYPE_CHECKING:
    from dd_nnunet.core.fingerprint import DatasetFingerprint
    from dd_nnunet.storage.workspace import DatasetFolders

LOGGER = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of dd_verify_dataset."""
    parser = flags.make_parser(
        "dd_verify_dataset", "Read and check every case of a dataset, list all bad ones, and write nothing."
    )
    flags.add_reading(parser)
    return cli.run(parser, _run, argv)


def verify_dataset(
    args: argparse.Namespace, folders: "DatasetFolders", keep: bool = False
) -> "DatasetFingerprint":
    """Read and measure every case, and tell the warnings.

    Args:
        args: of `planning_flags.add_reading`.
        folders: of the dataset.
        keep: what is measured of each case, and take what was kept of those that did not change since; otherwise
            every case is read, and nothing is written.

    Raises:
        UserError: what is wrong with dataset.json or a case; `ManyErrors` lists all bad cases, those that are
            seen by their names and those that are seen on reading.
    """
    from dd_nnunet.preprocessing.case_memory import largest_to_fingerprint
    from dd_nnunet.preprocessing.dataset import fingerprint_dataset
    from dd_nnunet.storage.raw_dataset import load_description, survey_cases

    description = load_description(folders)
    survey = survey_cases(folders.images_tr, description)
    odd = list(survey.warnings)
    stated, found = description.n_training_stated, len(survey.cases)
    if stated is not None and stated != found and not survey.errors:
        odd.append(f"{folders.dataset_json}: numTraining is {stated!r}, imagesTr holds {found}")
    tell_warnings(odd)
    if not survey.cases:
        survey.sound_cases()
    workers = flags.workers(args, largest_to_fingerprint(survey.cases))
    try:
        kept_in = folders.measured_cases if keep else None
        reading = flags.reading(args)
        fingerprint = fingerprint_dataset(folders.name, survey.cases, workers, reading, kept_in)
    except UserError as error:
        raise joined([*survey.errors, error]) from None
    survey.sound_cases()
    tell_warnings(fingerprint.warnings)
    return replace(fingerprint, warnings=(*odd, *fingerprint.warnings))


def _run(args: argparse.Namespace) -> None:
    errors: list[DDError] = []
    for folders in flags.datasets(args):
        try:
            fingerprint = verify_dataset(args, folders)
        except UserError as error:
            errors.append(error)
            LOGGER.info("%s: not sound, %s", folders.name, counted(len(error.lines), "fault"))
        else:
            cases = counted(len(fingerprint.cases), "case")
            LOGGER.info(
                "%s: sound, %s, %s", folders.name, cases, counted(len(fingerprint.warnings), "warning")
            )
    if errors:
        raise joined(errors)


def tell_warnings(warnings: Iterable[str]) -> None:
    """A line for each, which --quiet shows too."""
    for warning in warnings:
        LOGGER.warning("warning: %s", warning)
