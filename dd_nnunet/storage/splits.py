"""splits_final.json: the folds of a dataset."""

from pathlib import Path
from typing import Any, cast

from dd_nnunet.core.errors import UserError
from dd_nnunet.core.splits import Fold
from dd_nnunet.storage.atomic import read_record


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
