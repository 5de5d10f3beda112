"""What a dataset looks like: measured per case, then merged by medians. Labels are not involved."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from dd_nnunet.core.case import FloatArray, Volume
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.fingerprint import (
    CaseFingerprint,
    ChannelFingerprint,
    DatasetFingerprint,
)
from dd_nnunet.core.units import counted
from dd_nnunet.planning.channel_objects import MAX_VOXELS, measure_channel, merge_channels
from dd_nnunet.planning.granulometry import shrink
from dd_nnunet.planning.levels import measured_parts
from dd_nnunet.planning.modes import intensity_modes
from dd_nnunet.planning.noise import noise_sd, noise_slope, smoothed, whole_noise_sd
from dd_nnunet.planning.rounding import rounded
from dd_nnunet.planning.spectrum import signal_to_noise, spectrum_slope
from dd_nnunet.regions.foreground import Mask, bounding_box, foreground_mask

# raised with every change of what is measured, so that cases that were measured before are measured again
MEASUREMENT_VERSION = 6
PERCENTILES = (0.5, 5, 50, 95, 99.5)
SUSPICIOUS_SPACING = 20.0
SUSPICIOUS_SCALE = 20.0
NEARLY_EMPTY = 0.001


def fingerprint_case(volume: Volume, case_id: str) -> CaseFingerprint:
    """Measure one case: box, intensities and noise; sizes, symmetry and parts of the channels that vary."""
    mask = foreground_mask(volume.array)
    start, stop = bounding_box(mask)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    cropped, cropped_mask = volume.array[(slice(None), *box)], mask[box]
    channels = tuple(_fingerprint_channel(channel, cropped_mask) for channel in cropped)
    varying = [i for i, channel in enumerate(volume.array) if channel.min() < channel.max()]
    spacing = volume.geometry.spacing_zyx_mm
    objects = merge_channels(
        [
            measure_channel(_scaled(channel, found), spacing)
            for channel, found in zip(cropped, channels, strict=True)
            if found.varies
        ]
    )
    return CaseFingerprint(
        case_id=case_id,
        shape_zyx=volume.geometry.shape_zyx,
        spacing_zyx_mm=spacing,
        orientation=orientation_code(volume.geometry.direction) if volume.oriented else "",
        source_dtypes=volume.source_dtypes,
        crop_start_zyx=start,
        crop_stop_zyx=stop,
        channels=channels,
        foreground_share=float(mask.mean()),
        diameters_mm=objects.diameters_mm,
        diameters_voxels=tuple(
            rounded(mm / float(np.prod(spacing)) ** (1 / 3), 4) for mm in objects.diameters_mm
        ),
        sieve_mm=objects.sizes.sieve_mm,
        opening_spectrum=objects.sizes.opening,
        closing_spectrum=objects.sizes.closing,
        bright_diameter_mm=objects.sizes.bright_mm,
        dark_diameter_mm=objects.sizes.dark_mm,
        mirror_correlation_zyx=objects.mirror_correlation_zyx,
        constant=not varying,
        splits=objects.splits,
        sub_objects=objects.sub_objects,
    )


def orientation_code(direction: Sequence[float]) -> str:
    """The side of the body that each file axis x, y, z runs to, as a letter.

    Args:
        direction: ITK's 3 × 3 matrix, row by row, in the LPS system; column i is the direction of axis i.

    Returns:
        Three of L R P A S I, e.g. "LPS" for the identity; for oblique axes the nearest side.
    """
    matrix = np.asarray(direction, dtype=np.float64).reshape(3, 3)
    nearest = np.abs(matrix).argmax(axis=0)
    return "".join("LPS"[row] if matrix[row, axis] >= 0 else "RAI"[row] for axis, row in enumerate(nearest))


def _scaled(channel: FloatArray, found: ChannelFingerprint) -> FloatArray:
    """The channel with its 0.5 and 99.5 percentile at 0 and 1, clipped."""
    limits, scaled = (found.percentile_00_5, found.percentile_99_5), np.empty_like(channel)
    # slice by slice: the computation is in float64
    for index, plane in enumerate(channel):
        scaled[index] = np.interp(plane, limits, (0, 1))
    return scaled


def merge_fingerprints(
    cases: Sequence[CaseFingerprint], where: object, warnings: Sequence[str] = ()
) -> DatasetFingerprint:
    """Merge the cases by medians over those that are not constant, and warn of what is odd.

    Args:
        cases: in any order.
        where: the dataset, named in errors.
        warnings: of the files, kept as they are.

    Raises:
        UserError: no cases, or all of them constant.
    """
    cases = sorted(cases, key=lambda case: case.case_id)
    useful = [case for case in cases if not case.constant]
    if not useful:
        reason = "all volumes are constant" if cases else "there are no cases"
        raise UserError(where, reason, "put volumes with contents into imagesTr")
    shape = np.median([case.crop_shape_zyx for case in useful], axis=0)
    spacing = np.median([case.spacing_zyx_mm for case in useful], axis=0)
    channels = [channel for case in useful for channel in case.channels]
    # a constant channel has no noise, and none is planned for
    channels = [channel for channel in channels if channel.varies] or channels
    return DatasetFingerprint(
        cases=tuple(cases),
        median_crop_shape_zyx=(round(float(shape[0])), round(float(shape[1])), round(float(shape[2]))),
        median_spacing_zyx_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        anisotropy=round(float(spacing.max() / spacing.min()), 4),
        noise_sd=_median([channel.noise_sd for channel in channels]),
        noise_slope=_median([channel.noise_slope for channel in channels]),
        snr=_median([channel.snr for channel in channels]),
        diameters_mm=merge_diameters([case.diameters_mm for case in useful]),
        warnings=(*warnings, *_warnings(cases, spacing.tolist())),
    )


def merge_diameters(per_case: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    """Median per level over the cases that have it; only levels that at least half of the cases have.

    At least one diameter is returned unless no case has any; the result falls.
    """
    merged: list[float] = []
    for level in range(max(map(len, per_case), default=0)):
        values = [diameters[level] for diameters in per_case if len(diameters) > level]
        if merged and 2 * len(values) < len(per_case):
            break
        merged.append(rounded(min(float(np.median(values)), *merged[-1:], np.inf), 4))
    return tuple(merged)


def _median(values: Sequence[float]) -> float:
    return round(float(np.median(values)), 6)


def _fingerprint_channel(channel: FloatArray, foreground: Mask) -> ChannelFingerprint:
    where = foreground if foreground.any() else np.ones_like(foreground)
    noise, slope = noise_sd(channel, foreground), noise_slope(channel, foreground)
    whole = whole_noise_sd(noise, slope)
    voxels = channel[where].astype(np.float64)
    low, p05, p50, p95, high = (float(p) for p in np.percentile(voxels, PERCENTILES))
    mean, sd, largest = float(voxels.mean()), float(voxels.std()), float(voxels.max())
    snr = signal_to_noise(voxels, whole) if high > low else 0.0
    # the largest of all that is held; what comes now makes copies of its own
    del voxels
    n_modes, separation = _modes(channel, where, (low, high)) if high > low else (1, 0.0)
    return ChannelFingerprint(
        percentile_00_5=low,
        percentile_05=p05,
        percentile_50=p50,
        percentile_95=p95,
        percentile_99_5=high,
        mean=mean,
        sd=sd,
        noise_sd=noise / (high - low) if high > low else 0.0,
        noise_slope=round(slope, 4),
        whole_noise_sd=whole / (high - low) if high > low else 0.0,
        spectrum_slope=spectrum_slope(channel),
        snr=snr,
        max_over_p99_5=(largest - p50) / (high - p50) if high > p50 else 1.0,
        n_modes=n_modes,
        mode_separation=separation,
    )


def _modes(channel: FloatArray, where: Mask, limits: tuple[float, float]) -> tuple[int, float]:
    """Of the channel between its limits, averaged down if it is large, where at least half of it is foreground."""
    low, high = limits
    coarse, _ = shrink((channel - low) / (high - low), (1, 1, 1), MAX_VOXELS)
    inside, _ = shrink(where.astype(np.float32), (1, 1, 1), MAX_VOXELS)
    return intensity_modes(smoothed(coarse)[inside > 0.5])


def _warnings(cases: Sequence[CaseFingerprint], median_spacing: Sequence[float]) -> list[str]:
    warnings = [f"{case.case_id}: constant volume, left out of training" for case in cases if case.constant]
    useful = [case for case in cases if not case.constant]
    for case in useful:
        if case.foreground_share < NEARLY_EMPTY:
            warnings.append(
                f"{case.case_id}: nearly empty, {100 * case.foreground_share:.2g} % of it is not background"
            )
    for case in cases:
        for number, channel in enumerate(() if case.constant else case.channels):
            if channel.percentile_00_5 == channel.percentile_99_5:
                warnings.append(
                    f"{case.case_id}: channel {number} is constant between its percentiles; it becomes all zero"
                )
        for axis, spacing, usual in zip("zyx", case.spacing_zyx_mm, median_spacing, strict=True):
            if not 1 / SUSPICIOUS_SPACING <= spacing / usual <= SUSPICIOUS_SPACING:
                warnings.append(
                    f"{case.case_id}: spacing {spacing:g} mm along {axis} against a median of {usual:g} mm; "
                    "check the unit (micrometres?)"
                )
    if not measured_parts(useful).children[0]:
        warnings.append(
            "no part stands out from noise in more than half of the cases; unless you give --parts, 2 are planned"
        )
    return [*warnings, *_odd_scales(useful), *_mixtures(cases)]


def _odd_scales(cases: Sequence[CaseFingerprint]) -> Iterator[str]:
    """Cases whose intensities lie on another scale than most, e.g. 0–1 among 0–4000."""
    for channel in range(len(cases[0].channels)):
        widths = {
            case.case_id: case.channels[channel].percentile_99_5 - case.channels[channel].percentile_00_5
            for case in cases
        }
        usual = float(np.median([width for width in widths.values() if width > 0] or [0]))
        for case_id, width in widths.items():
            if width > 0 and not 1 / SUSPICIOUS_SCALE <= width / usual <= SUSPICIOUS_SCALE:
                yield (
                    f"{case_id}: intensities of channel {channel} span {width:g} against a median of {usual:g}; "
                    "each case is scaled by its own percentiles"
                )


def _mixtures(cases: Sequence[CaseFingerprint]) -> Iterator[str]:
    """Number formats and orientations that differ between cases."""
    for what, values in (
        ("number formats", Counter(" ".join(case.source_dtypes) for case in cases)),
        ("orientations", Counter(case.orientation or "none stated" for case in cases)),
    ):
        if len(values) > 1:
            found = ", ".join(f"{value} ({counted(count, 'case')})" for value, count in values.most_common())
            yield f"{what} differ between cases: {found}"
