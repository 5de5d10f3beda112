"""Cross-validation folds, the same as nnU-Net v2 makes them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dd_nnunet.core.errors import UserError
from dd_nnunet.core.units import counted

N_FOLDS = 5
SPLIT_SEED = 12345


@dataclass(frozen=True)
class Fold:
    """Case ids of one fold; `train` and `val` are disjoint and sorted."""

    train: tuple[str, ...]
    val: tuple[str, ...]


def make_folds(case_ids: Sequence[str], n_folds: int = N_FOLDS) -> tuple[Fold, ...]:
    """Split the sorted ids as nnU-Net's `KFold(5, shuffle=True, random_state=12345)` does.

    Fewer cases than folds give as many folds as cases; one case gives no folds (only `all`).

    Source: nnunetv2/utilities/crossval_split.py and sklearn.model_selection.KFold.
    """
    ids = np.array(sorted(case_ids))
    n_folds = min(n_folds, len(ids))
    if n_folds < 2:
        return ()
    order = np.arange(len(ids))
    np.random.RandomState(SPLIT_SEED).shuffle(order)
    sizes = np.full(n_folds, len(ids) // n_folds)
    sizes[: len(ids) % n_folds] += 1
    folds = []
    for chosen in np.split(order, np.cumsum(sizes)[:-1]):
        is_val = np.zeros(len(ids), dtype=bool)
        is_val[chosen] = True
        folds.append(Fold(train=tuple(map(str, ids[~is_val])), val=tuple(map(str, ids[is_val]))))
    return tuple(folds)


def select_fold(folds: Sequence[Fold], fold: str, case_ids: Sequence[str], where: object) -> Fold:
    """Return the fold named `0`…`4` or `all` (every case trains and validates).

    Raises:
        UserError: a fold that the splits do not have.
    """
    if fold == "all":
        return Fold(train=tuple(sorted(case_ids)), val=tuple(sorted(case_ids)))
    names = [str(number) for number in range(len(folds))]
    if fold not in names:
        raise UserError(
            where,
            f"fold {fold!r} does not exist ({counted(len(case_ids), 'case')})",
            f"choose one of: {', '.join([*names, 'all'])}",
        )
    return folds[names.index(fold)]
