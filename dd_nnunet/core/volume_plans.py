"""How raw volumes are read, and how their channels are brought to [0,1]."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ReadingPlan:
    """What raw volumes are allowed, those that are predicted later included; by default nothing odd.

    Args:
        nan: voxels that are NaN or infinite are refused, or become 0, or the median of the channel's others.
        allow_geometry_mismatch: a channel whose origin or direction differs from the first channel's by more
            than 1 % of a voxel is taken as if it lay there, instead of being refused.
    """

    nan: Literal["refuse", "zero", "median"] = "refuse"
    allow_geometry_mismatch: bool = False


STRICT = ReadingPlan()


@dataclass(frozen=True)
class NormalizationPlan:
    """How one channel is brought to [0,1].

    Args:
        scheme: "percentile": the two percentiles of the crop's non-background voxels become 0 and 1, clipped;
            "min_max": the smallest and the largest of all voxels do (percentiles 0 and 100);
            "ct_window": the same raw intensities become 0 and 1 in every case.
        lower_percentile: becomes 0; in [0,100].
        upper_percentile: becomes 1; in [0,100].
        window: the raw intensities of "ct_window", which are the cases' medians of the two percentiles.
    """

    scheme: Literal["percentile", "min_max", "ct_window"]
    lower_percentile: float
    upper_percentile: float
    window: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.lower_percentile < self.upper_percentile <= 100:
            raise ValueError(
                f"percentiles {self.lower_percentile:g} and {self.upper_percentile:g} must rise within 0–100"
            )
        if (self.scheme == "ct_window") != (self.window is not None):
            raise ValueError('window belongs to the scheme "ct_window", and to no other')
        if self.window is not None and not self.window[0] < self.window[1]:
            raise ValueError(f"window is {list(self.window)}; its second intensity must be the larger one")
        if self.scheme == "min_max" and (self.lower_percentile, self.upper_percentile) != (0, 100):
            raise ValueError('scheme "min_max" goes with the percentiles 0 and 100 only')
