"""Numbers that people read, without losing small ones: spacings may be nanometres."""

import math

SIGNIFICANT_DIGITS = 4


def rounded(value: float, decimals: int) -> float:
    """Round to so many decimals, and to more where fewer than four significant digits would be left."""
    if value == 0 or not math.isfinite(value):
        return value
    leading_place = math.floor(math.log10(abs(value)))
    return round(value, max(decimals, SIGNIFICANT_DIGITS - 1 - leading_place))
