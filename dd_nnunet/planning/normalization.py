"""How the intensities of each channel are brought to [0,1]."""

from collections.abc import Iterator, Sequence

import numpy as np

from dd_nnunet.core.fingerprint import DatasetFingerprint
from dd_nnunet.core.plan import Decision, NormalizationPlan

LOWER_PERCENTILE, UPPER_PERCENTILE = 0.5, 99.5
# the channel name by which nnU-Net knows computed tomography
CT = "ct"
MIN_MAX = NormalizationPlan("min_max", 0.0, 100.0)


def plan_normalization(
    channel_names: Sequence[str], fingerprint: DatasetFingerprint
) -> tuple[NormalizationPlan, ...]:
    """One window for all cases where intensities are Hounsfield units, each case's own percentiles elsewhere.

    Args:
        channel_names: of dataset.json, in channel order; "CT" in any case is computed tomography.
        fingerprint: of all cases.
    """
    cases = [case for case in fingerprint.cases if not case.constant]
    plans = []
    for channel, name in enumerate(channel_names):
        measured = [case.channels[channel] for case in cases]
        low = float(np.median([values.percentile_00_5 for values in measured]))
        high = float(np.median([values.percentile_99_5 for values in measured]))
        if name.casefold() == CT and low < high:
            plans.append(NormalizationPlan("ct_window", LOWER_PERCENTILE, UPPER_PERCENTILE, (low, high)))
        else:
            plans.append(NormalizationPlan("percentile", LOWER_PERCENTILE, UPPER_PERCENTILE))
    return tuple(plans)


def explain_normalization(
    channel_names: Sequence[str], plans: Sequence[NormalizationPlan]
) -> Iterator[Decision]:
    """One decision where all channels are alike, else one per channel."""
    if all(plan == MIN_MAX for plan in plans):
        yield Decision(
            "intensities", "minimum and maximum become 0-1", "of the whole volume, as in the paper"
        )
        return
    alike = len({plan.scheme for plan in plans}) == 1 and plans[0].window is None
    for number, (name, plan) in enumerate(zip(channel_names, plans, strict=True)):
        what = "intensities" if alike else f"intensities of {number}"
        if plan.window is not None:
            low, high = plan.window
            because = (
                f"channel {name}: Hounsfield units mean the same in all cases; "
                f"the cases' median {plan.lower_percentile:g} and {plan.upper_percentile:g} percentiles"
            )
            yield Decision(what, f"{low:g} to {high:g} become 0-1", because)
        else:
            because = "a few extreme voxels must not decide the scale; background is left out"
            if name.casefold() == CT:
                because = f"no window: in most cases the window's ends are the same; {because}"
            value = f"percentiles {plan.lower_percentile:g}-{plan.upper_percentile:g} become 0-1"
            yield Decision(what, value, because if alike else f"channel {name}: {because}")
        if alike:
            return
