"""What the channels of a case hold: sizes, symmetry, parts and sub-objects of each, and of all together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dd_nnunet.core.case import FloatArray
from dd_nnunet.core.fingerprint import SplitFingerprint, SubObjectFingerprint
from dd_nnunet.planning.granulometry import Granulometry, characteristic_diameters, granulometry, shrink
from dd_nnunet.planning.noise import smoothed
from dd_nnunet.planning.object_fingerprint import measure_sub_objects
from dd_nnunet.planning.rounding import rounded
from dd_nnunet.planning.split_gains import measure_splits
from dd_nnunet.planning.symmetry import mirror_correlations

# larger volumes are averaged down for what does not need their finest voxels
MAX_VOXELS = 128**3
MAX_SPLIT_VOXELS = 64**3


@dataclass(frozen=True)
class ChannelContents:
    """What one channel holds, or all channels of a case together; see `CaseFingerprint`."""

    diameters_mm: tuple[float, ...]
    sizes: Granulometry
    mirror_correlation_zyx: tuple[float, float, float]
    splits: tuple[SplitFingerprint, ...]
    sub_objects: SubObjectFingerprint | None


NO_CONTENTS = ChannelContents((), Granulometry((), (), (), 0.0, 0.0), (0.0, 0.0, 0.0), (), None)


def measure_channel(scaled: FloatArray, spacing_zyx_mm: Sequence[float]) -> ChannelContents:
    """Of one channel [Z,Y,X] in [0,1], cropped to what is not background."""
    coarse, spacing = shrink(scaled, spacing_zyx_mm, MAX_VOXELS)
    smooth = smoothed(coarse)
    small, small_spacing = shrink(coarse, spacing, MAX_SPLIT_VOXELS)
    diameters_mm = characteristic_diameters(scaled, spacing_zyx_mm)
    return ChannelContents(
        diameters_mm=diameters_mm,
        sizes=granulometry(smooth, spacing),
        mirror_correlation_zyx=mirror_correlations(smooth),
        splits=measure_splits(smoothed(small)),
        sub_objects=measure_sub_objects(small, small_spacing, diameters_mm),
    )


def merge_channels(channels: Sequence[ChannelContents]) -> ChannelContents:
    """What the channels of a case hold together, whatever their order.

    Diameters are medians over the channels that have one at that level, spectra and symmetry are means, and parts are
    those of the channel that falls into most; of equals, of the one that gains most by it.

    Args:
        channels: those that vary between their percentiles; maybe none.
    """
    if len(channels) < 2:
        return channels[0] if channels else NO_CONTENTS
    richest = max(channels, key=_parts_and_gain)
    deepest = max(len(channel.diameters_mm) for channel in channels)
    levels = [[c.diameters_mm[n] for c in channels if len(c.diameters_mm) > n] for n in range(deepest)]
    diameters = np.minimum.accumulate([float(np.median(values)) for values in levels])
    sizes = [channel.sizes for channel in channels]
    z, y, x = np.mean([channel.mirror_correlation_zyx for channel in channels], axis=0).tolist()
    return ChannelContents(
        diameters_mm=tuple(rounded(float(diameter), 4) for diameter in diameters),
        sizes=Granulometry(
            sieve_mm=sizes[0].sieve_mm,
            opening=_means([found.opening for found in sizes]),
            closing=_means([found.closing for found in sizes]),
            bright_mm=_median_thickness([found.bright_mm for found in sizes]),
            dark_mm=_median_thickness([found.dark_mm for found in sizes]),
        ),
        mirror_correlation_zyx=(z, y, x),
        splits=richest.splits,
        sub_objects=richest.sub_objects,
    )


def _parts_and_gain(channel: ChannelContents) -> tuple[int, float]:
    found = [split for split in channel.splits if split.children > 1]
    return sum(split.children - 1 for split in found), sum(split.share * split.gain for split in found)


def _median_thickness(of_channels: Sequence[float]) -> float:
    """0 stands for nothing that is bright (dark)."""
    there = [thickness for thickness in of_channels if thickness > 0]
    return rounded(float(np.median(there)), 4) if there else 0.0


def _means(spectra: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(round(float(share), 4) for share in np.mean(spectra, axis=0))
