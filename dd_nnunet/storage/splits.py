"""splits_final.json: the folds of a dataset."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

from dd_nnunet.core.errors import UserError
from dd_nnunet.core.splits import Fold
from dd_nnunet.storage.atomic import read_record

SPLITS_NAME = "splits_final.json"
SHOWN_CASES = 5


def read_splits(path: Path) -> tuple[Fold, ...]:
    """Read the folds, in nnU-Net's layout [{"train": […], "val": […]}, …].

    Raises:
        UserError: missing, damaged, or a fold that validates on cases it trains on.
    """
    folds = cast(tuple[Fold, ...], read_record(cast(Any, tuple[Fold, ...]), path))
    for number, fold in enumerate(folds):
        both = sorted(set(fold.train) & set(fold.val))
        if both:
            reason = f"fold {number} both trains and validates on {', '.join(both[:5])}"
            raise UserError(path, reason, "make the two lists disjoint")
    return folds


def read_given_splits(dataset: Path | None, case_ids: Collection[str]) -> tuple[Fold, ...]:
    """Read the folds that a raw dataset brings along, as benchmarks with a published split do.

    Args:
        dataset: its raw folder, or None where it is not at hand.
        case_ids: the cases that can be trained on.

    Returns:
        The folds; none if the dataset brings none along.

    Raises:
        UserError: as `read_splits`, or they are not of these cases.
    """
    path = None if dataset is None else dataset / SPLITS_NAME
    if path is None or not path.is_file():
        return ()
    folds = read_splits(path)
    named = {case_id for fold in folds for case_id in (*fold.train, *fold.val)}
    differing = sorted(named ^ set(case_ids))
    if differing:
        shown = ", ".join(differing[:SHOWN_CASES]) + (", …" if len(differing) > SHOWN_CASES else "")
        reason = f"does not name the cases of imagesTr that have contents ({shown} differ)"
        raise UserError(path, reason, "correct it, or remove it to get five folds")
    return folds
