"""What to do about losses and gradients that are no numbers."""

import math
from collections.abc import Mapping
from typing import Any, NoReturn

from dd_nnunet.core.errors import UserError
from dd_nnunet.storage.atomic import write_json
from dd_nnunet.storage.run_folder import RunFolder

MOST_IN_A_ROW = 20


class LossGuard:
    """Counts the batches in a row whose loss or gradient is NaN or infinite.

    Args:
        run: gets warnings, and bad_batches.json in the end.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self.bad_batches: list[dict[str, Any]] = []

    @property
    def calm(self) -> bool:
        """Whether the last batch was good: only then is the state worth saving."""
        return not self.bad_batches

    @property
    def exhausted(self) -> bool:
        """Whether so many batches in a row were bad that it is the weights' fault."""
        return len(self.bad_batches) >= MOST_IN_A_ROW

    def accepts(self, batch: Mapping[str, Any], values: Mapping[str, float]) -> bool:
        """Whether all values (losses and gradient norm of the batch) are finite; remembers the batch if not."""
        if all(map(math.isfinite, values.values())):
            self.bad_batches.clear()
            return True
        if self.calm:
            shown = ", ".join(f"{name} {value}" for name, value in values.items())
            cases = ", ".join(batch["case_ids"])
            self.run.logger.warning(
                "iteration %d is skipped (%s); cases: %s", batch["iteration"], shown, cases
            )
        kept = {key: batch[key] for key in ("iteration", "case_ids", "starts_zyx")}
        self.bad_batches.append({**kept, **values})
        return False

    def start_anew(self) -> None:
        """Forget the bad batches, because the weights are no longer those that met them."""
        self.bad_batches.clear()

    def give_up(self) -> NoReturn:
        """End the training and leave the bad batches in bad_batches.json.

        Raises:
            UserError: names the cases of the last one.
        """
        path = self.run.path / "bad_batches.json"
        write_json(path, self.bad_batches)
        last = self.bad_batches[-1]
        reason = (
            f"the loss was no number {len(self.bad_batches)} times in a row, also with a lower learning rate; "
            f"the last time at iteration {last['iteration']} with cases {', '.join(last['case_ids'])}"
        )
        raise UserError(
            path, reason, "look at these cases, or lower learning_rate in the plan and give --fresh"
        )
