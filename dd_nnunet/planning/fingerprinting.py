"""What a dataset looks like: measured per case, then merged by medians. Labels are not involved."""

from collections.abc import Sequence

import numpy as np

from dd_nnunet.core.case import FloatArray, Volume
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.fingerprint import CaseFingerprint, ChannelFingerprint, DatasetFingerprint
from dd_nnunet.planning.foreground import Mask, bounding_box, foreground_mask
from dd_nnunet.planning.granulometry import characteristic_diameters
from dd_nnunet.planning.noise import noise_sd

PERCENTILES = (0.5, 5, 50, 95, 99.5)
SUSPICIOUS_SPACING = 20.0


def fingerprint_case(volume: Volume, case_id: str) -> CaseFingerprint:
    """Measure one case: box, intensities, noise and object diameters.

    The diameters are those of the first channel that varies.
    """
    mask = foreground_mask(volume.array)
    start, stop = bounding_box(mask)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    cropped, cropped_mask = volume.array[(slice(None), *box)], mask[box]
    channels = tuple(_fingerprint_channel(channel, cropped_mask) for channel in cropped)
    varying = [i for i, channel in enumerate(volume.array) if channel.min() < channel.max()]
    spacing = volume.geometry.spacing_zyx_mm
    diameters: tuple[float, ...] = ()
    if varying:
        channel = channels[varying[0]]
        limits = (channel.percentile_00_5, channel.percentile_99_5)
        diameters = characteristic_diameters(np.interp(cropped[varying[0]], limits, (0, 1)), spacing)
    return CaseFingerprint(
        case_id=case_id,
        shape_zyx=volume.geometry.shape_zyx,
        spacing_zyx_mm=spacing,
        crop_start_zyx=start,
        crop_stop_zyx=stop,
        channels=channels,
        diameters_mm=diameters,
        constant=not varying,
    )


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
    noise = np.median([channel.noise_sd for case in useful for channel in case.channels])
    return DatasetFingerprint(
        cases=tuple(cases),
        median_crop_shape_zyx=(round(float(shape[0])), round(float(shape[1])), round(float(shape[2]))),
        median_spacing_zyx_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        noise_sd=round(float(noise), 6),
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
        merged.append(round(min(float(np.median(values)), *merged[-1:], np.inf), 4))
    return tuple(merged)


def _fingerprint_channel(channel: FloatArray, foreground: Mask) -> ChannelFingerprint:
    voxels = (channel[foreground] if foreground.any() else channel.ravel()).astype(np.float64)
    low, p05, p50, p95, high = (float(p) for p in np.percentile(voxels, PERCENTILES))
    return ChannelFingerprint(
        percentile_00_5=low,
        percentile_05=p05,
        percentile_50=p50,
        percentile_95=p95,
        percentile_99_5=high,
        mean=float(voxels.mean()),
        sd=float(voxels.std()),
        noise_sd=noise_sd(channel, foreground) / (high - low) if high > low else 0.0,
    )


def _warnings(cases: Sequence[CaseFingerprint], median_spacing: Sequence[float]) -> list[str]:
    warnings = [f"{case.case_id}: constant volume, left out of training" for case in cases if case.constant]
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
    return warnings
